"""The multi-resource bucket of one limit group: decides start times. Time comes in, nothing goes out.

For each ask, in order:

    wait = max(rest of the pause, (min(need, burst) - level) / rate of each resource that the ask needs)
    wait > horizon ──▶ stop, say when to come back
    level -= need of each resource (below zero is debt), grant now + wait

A need above the burst waits for a full bucket and leaves debt, so no need is too large to be served. The charge of
granted starts in any window of length w is at most rate * w + burst + one job, for every resource.
"""

import math
from collections.abc import Sequence
from typing import assert_never

from broker.domain.account import Limits
from broker.limits.levels import amount_of, correct, take, wait_for
from broker.limits.meter import Meter
from broker.limits.port import (
    Ask,
    Charge,
    Grant,
    Granted,
    GroupState,
    Level,
    Resource,
    Settled,
    Settlement,
)
from broker.limits.tank import Tank, declared

DEFAULT_RHO = 0.99
"""Share of the declared limit to pace at: the rest absorbs the jitter of arrivals at the server."""
_TOLERANCE_S = 1e-6
"""Forgives rounding, so that an ask repeated exactly when it was told to is granted."""
_SHORTEST_RETRY_S = 1e-3
"""Keeps a caller from spinning on a wait that rounding has left."""
_NOTHING = Charge(requests=0.0)


class Bucket:
    """Levels, open reservations and the pause of one limit group.

    `now` is seconds on one clock; when it goes back, no time has passed.
    """

    __slots__ = (
        "_at",
        "_held",
        "_meter",
        "_open",
        "_pause_reason",
        "_pause_until",
        "generation",
        "slots",
        "tanks",
    )

    def __init__(self, limits: Limits, now: float, *, rho: float = DEFAULT_RHO) -> None:
        if not 0 < rho <= 1:
            raise ValueError(f"rho must be above 0 and at most 1, not {rho}")
        self.tanks = tuple(Tank(resource, limit, rho=rho) for resource, limit in declared(limits))
        self.slots = _checked_slots(limits.concurrency)
        self.generation = 0
        """Moves on with every event after which an ask that was not granted may be."""
        self._at = now
        self._open: dict[str, tuple[Grant, Charge]] = {}
        self._held = (0.0, 0.0, 0.0)
        self._pause_until = -math.inf
        self._pause_reason: str | None = None
        self._meter = Meter()

    def declare(self, limits: Limits, now: float, *, rho: float = DEFAULT_RHO) -> None:
        """Replace the limits; levels, reservations and the pause stay."""
        fresh = Bucket(limits, now, rho=rho)
        self.elapse(now)
        paused_for_s = self._paused_for(now)
        known = {tank.resource: tank for tank in self.tanks}
        for tank in fresh.tanks:
            if tank.resource in known:
                known[tank.resource].declare(tank.declared, rho=rho, paused_for_s=paused_for_s)
        self.tanks = tuple(known.get(tank.resource, tank) for tank in fresh.tanks)
        self.slots = fresh.slots
        self.generation += 1

    def reserve(self, now: float, asks: Sequence[Ask], *, horizon_s: float) -> Granted:
        """Grant start times to a prefix of `asks`; an id that is open gets its first grant again."""
        self.elapse(now)
        paused_for_s = self._paused_for(now)
        open_, tanks, slots = self._open, self.tanks, self.slots
        grants: list[Grant] = []
        requests = input_tokens = output_tokens = 0.0
        why: str | None = None
        retry_in: float | None = None
        for ask in asks:
            known = open_.get(ask.reservation_id)
            if known is not None:
                grants.append(known[0])
                continue
            if slots is not None and len(open_) >= slots:
                why = "slots"
                break
            need = ask.need
            wait, binding = wait_for(tanks, need, paused_for_s)
            if wait > horizon_s + _TOLERANCE_S:
                why = self._why(binding, paused=paused_for_s > horizon_s)
                retry_in = max(wait - horizon_s, _SHORTEST_RETRY_S)
                break
            take(tanks, need, wait)
            grant = Grant(reservation_id=ask.reservation_id, start_at=now + min(wait, horizon_s))
            open_[ask.reservation_id] = (grant, need)
            grants.append(grant)
            requests += need.requests
            input_tokens += need.input_tokens
            output_tokens += need.output_tokens
        self._hold(requests, input_tokens, output_tokens)
        self._meter.add(now, requests, input_tokens, output_tokens)
        return Granted(grants=grants, retry_in=retry_in, why=why, generation=self.generation)

    def settle(self, now: float, settlements: Sequence[Settlement]) -> None:
        """Correct the levels by what really happened and free the slots; ids that are not open are ignored."""
        self.elapse(now)
        paused_for_s = self._paused_for(now)
        requests = input_tokens = output_tokens = 0.0
        for settlement in settlements:
            entry = self._open.pop(settlement.reservation_id, None)
            if entry is None:
                continue
            self.generation += 1
            need = entry[1]
            self._hold(-need.requests, -need.input_tokens, -need.output_tokens)
            used = _used(need, settlement)
            if used is need:
                continue
            more = used.requests - need.requests
            more_input = used.input_tokens - need.input_tokens
            more_output = used.output_tokens - need.output_tokens
            correct(self.tanks, more, more_input, more_output, paused_for_s=paused_for_s)
            requests += more
            input_tokens += more_input
            output_tokens += more_output
        self._meter.add(now, requests, input_tokens, output_tokens)

    def throttle(self, now: float, *, hint_s: float, resource: Resource | None, reason: str) -> None:
        """Start nothing for `hint_s` seconds; the pause is debt, so work resumes spaced. Pauses only grow.

        A day's allowance is touched only when it is what was violated: a short pause must not spend it.
        """
        self.elapse(now)
        if now + hint_s >= self._pause_until:
            self._pause_until = now + max(0.0, hint_s)
            self._pause_reason = reason
        paused_for_s = self._paused_for(now)
        for tank in self.tanks:
            if tank.resource is resource or not tank.daily:
                tank.pause(paused_for_s)

    def relimit(self, now: float, tank: Tank, limit: float) -> None:
        """Pace one resource by another limit than the declared one."""
        self.elapse(now)
        tank.relimit(limit, paused_for_s=self._paused_for(now))
        self.generation += 1

    def tank(self, resource: Resource) -> Tank | None:
        """Find the level of a resource, `None` where the group has no such limit."""
        for tank in self.tanks:
            if tank.resource is resource:
                return tank
        return None

    @property
    def outstanding(self) -> Charge:
        """What all open calls take together."""
        return Charge(requests=self._held[0], input_tokens=self._held[1], output_tokens=self._held[2])

    def started_after(self, sent_at: float) -> Charge:
        """Sum up what the open calls take that start later than `sent_at`."""
        requests = input_tokens = output_tokens = 0.0
        for grant, need in reversed(self._open.values()):
            # Grants are nearly in the order of their starts: the first that is not later ends the search.
            if grant.start_at <= sent_at:
                break
            requests += need.requests
            input_tokens += need.input_tokens
            output_tokens += need.output_tokens
        return Charge(requests=requests, input_tokens=input_tokens, output_tokens=output_tokens)

    def state(self, now: float) -> GroupState:
        """Describe the group for people; reading it changes nothing that matters."""
        self.elapse(now)
        requests, input_tokens, output_tokens = self._meter.sums(now)
        paused_for_s = self._paused_for(now)
        used = Charge(requests=requests, input_tokens=input_tokens, output_tokens=output_tokens)
        return GroupState(
            levels=[
                Level(
                    resource=tank.resource,
                    limit=tank.limit,
                    period_s=tank.period_s,
                    available=tank.level,
                    used=amount_of(tank, used),
                )
                for tank in self.tanks
            ],
            in_flight=len(self._open),
            slots=self.slots,
            paused_for_s=paused_for_s,
            pause_reason=self._pause_reason if paused_for_s > 0 else None,
        )

    def _hold(self, requests: float, input_tokens: float, output_tokens: float) -> None:
        if self._open:
            held = self._held
            self._held = (held[0] + requests, held[1] + input_tokens, held[2] + output_tokens)
        else:
            self._held = (0.0, 0.0, 0.0)  # exact again, whatever rounding has added up

    def _why(self, binding: Tank | None, *, paused: bool) -> str:
        # The debt that a pause leaves outlasts it a little, but it is the pause that people should read of.
        return f"paused: {self._pause_reason}" if paused or binding is None else binding.resource.value

    def elapse(self, now: float) -> None:
        """Bring every level up to `now`."""
        elapsed = now - self._at
        if elapsed > 0:
            for tank in self.tanks:
                tank.refill(elapsed)
        elif elapsed < 0:
            self._pause_until += elapsed
        self._at = now

    def _paused_for(self, now: float) -> float:
        return max(0.0, self._pause_until - now)


def _used(need: Charge, settlement: Settlement) -> Charge:
    match settlement.how:
        case Settled.USED:
            return settlement.actual or need
        case Settled.REJECTED:
            return Charge(requests=need.requests)
        case Settled.NOT_STARTED:
            return _NOTHING
        case _:
            assert_never(settlement.how)


def _checked_slots(slots: int | None) -> int | None:
    if slots is not None and slots < 1:
        raise ValueError(f"concurrency: at least one call must fit, not {slots}")
    return slots
