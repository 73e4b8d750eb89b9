"""What the provider's answers teach about a group's limits; the place where limits are learned.

Here now: the two rules that are safe without knowing the provider's window. A level goes down at once to what the
server says is left, and a limit below the declared one is believed at once, a higher one after three equal samples
and never above the declared one.
"""

import math
from collections.abc import Sequence

from broker.limits.bucket import Bucket
from broker.limits.levels import amount_of
from broker.limits.port import Observation, Resource
from broker.limits.tank import Tank

EQUAL_SAMPLES = 3
"""How many equal samples make a higher limit credible."""
SLACK = 0.01
"""Share of the limit by which levels may disagree, so that rounded headers do not ratchet a level down."""


class Learner:
    """Applies observations of one group to its bucket."""

    __slots__ = ("_candidates",)

    def __init__(self) -> None:
        self._candidates: dict[Resource, tuple[float, int]] = {}

    def observe(self, bucket: Bucket, now: float, observations: Sequence[Observation], *, sent_at: float) -> None:
        """Take over what is plausible; resources that the group does not limit are ignored."""
        bucket.elapse(now)
        for seen in observations:
            tank = bucket.tank(seen.resource)
            if tank is None or not _plausible(seen):
                continue
            if seen.limit is not None:
                self._follow(bucket, now, tank, seen.limit)
            if seen.remaining is not None:
                _lower(bucket, tank, seen.remaining, now=now, sent_at=sent_at)

    def _follow(self, bucket: Bucket, now: float, tank: Tank, limit: float) -> None:
        limit = min(limit, tank.declared)
        if limit <= tank.limit:
            self._candidates.pop(tank.resource, None)
            if limit < tank.limit:
                bucket.relimit(now, tank, limit)
            return
        candidate, samples = self._candidates.get(tank.resource, (limit, 0))
        samples = samples + 1 if candidate == limit else 1
        if samples < EQUAL_SAMPLES:
            self._candidates[tank.resource] = (limit, samples)
            return
        del self._candidates[tank.resource]
        bucket.relimit(now, tank, limit)


def _plausible(seen: Observation) -> bool:
    """Tell numbers from -1, or 0 of 0, which providers write where they do not know."""
    if seen.limit is not None and not (math.isfinite(seen.limit) and seen.limit > 0):
        return False
    return seen.remaining is None or (math.isfinite(seen.remaining) and seen.remaining >= 0)


def _lower(bucket: Bucket, tank: Tank, remaining: float, *, now: float, sent_at: float) -> None:
    """Bring a level down to the server's, which was read when the answered call arrived there.

    Since then the server has refilled, at the full limit, and has admitted the calls that started later. Those of
    them that have ended are not seen any more: the level then stays a little high, which costs no throughput.
    """
    age = max(0.0, now - sent_at)
    refilled = remaining + age * tank.limit / tank.period_s + SLACK * tank.limit
    if refilled - amount_of(tank, bucket.outstanding) >= tank.level:
        return
    left = refilled - amount_of(tank, bucket.started_after(min(sent_at, now)))
    tank.level = min(tank.level, left)
