"""What a process may do of a shared limit while nobody can be asked: a cautious share, never all, never nothing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from broker.domain.account import Limits
from broker.limits.bucket import Bucket
from broker.limits.learned import Learner
from broker.limits.levels import amount_of
from broker.limits.port import Ask, Granted, GroupState, Observation, Resource, Settlement
from broker.limits.redis_wire import Declaration, Held
from broker.limits.tank import declared

CAUTION = 0.8
"""Of an even share: the others are guessed, and one of them may not have noticed the outage."""


class LocalShare:
    """A bucket of `CAUTION * rho * limit / workers`, which begins where the shared one was last seen."""

    def __init__(
        self,
        declaration: Declaration,
        *,
        now: float,
        workers: int,
        levels: Mapping[Resource, tuple[float, float]],
        held: Collection[Held],
    ) -> None:
        self.share = CAUTION / workers
        slots = declaration.limits.concurrency
        self.slots = None if slots is None else max(1, int(slots * self.share))
        self._bucket = Bucket(_part(declaration.limits, levels, self.share), now, rho=declaration.rho)
        self._learner = Learner()
        unstarted = [one.need for one in held if one.start_at > now]
        for tank in self._bucket.tanks:
            if tank.resource in levels:
                tank.level = min(tank.level, levels[tank.resource][1] * self.share)
            elif tank.daily:
                tank.level -= declaration.used_today.get(tank.resource, 0.0) * self.share
            # Those leave at the shared pace still: what is handed out here queues behind them.
            tank.level -= sum(amount_of(tank, need) for need in unstarted)

    @property
    def generation(self) -> int:
        """Counts like the bucket's, but below zero, so that it never equals one of the shared state."""
        return -1 - self._bucket.generation

    def reserve(self, now: float, asks: Sequence[Ask], *, horizon_s: float, in_flight: int) -> Granted:
        """Grant start times; `in_flight` is what this process holds in all."""
        room = len(asks) if self.slots is None else max(0, self.slots - in_flight)
        granted = self._bucket.reserve(now, asks[:room], horizon_s=horizon_s)
        if len(granted.grants) == room < len(asks):
            granted = replace(granted, retry_in=None, why="slots")
        return replace(granted, generation=self.generation)

    def settle(self, now: float, settlements: Sequence[Settlement]) -> None:
        """Correct the levels; reservations of the shared state are not open here, and their ends free slots only."""
        self._bucket.settle(now, settlements)
        self._bucket.generation += 1

    def throttle(self, now: float, *, hint_s: float, resource: Resource | None, reason: str) -> None:
        """Obey a pause, as every limiter does."""
        self._bucket.throttle(now, hint_s=hint_s, resource=resource, reason=reason)

    def observe(self, now: float, observations: Sequence[Observation], *, sent_at: float) -> None:
        """Lower what headers say is lower; they speak of the whole limit, so they seldom matter to a share."""
        self._learner.observe(self._bucket, now, observations, sent_at=sent_at)

    def state(self, now: float, *, in_flight: int, why: str) -> GroupState:
        """Describe the share."""
        return replace(self._bucket.state(now), in_flight=in_flight, slots=self.slots, degraded=why)


def _part(limits: Limits, levels: Mapping[Resource, tuple[float, float]], share: float) -> Limits:
    """A share of each limit, as low as it was last seen."""
    parts = {
        f"{resource}" if resource.endswith("_per_day") else f"{resource}_per_minute": share
        * min(limit, levels.get(resource, (limit, 0.0))[0])
        for resource, limit in declared(limits)
    }
    return Limits(**parts)  # type: ignore[arg-type]  # no slots among them: those are counted by the caller
