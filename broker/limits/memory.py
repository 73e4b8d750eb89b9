"""The limiter of a single process: one bucket per limit group."""

import asyncio
import math
from collections.abc import Sequence

from broker.domain.account import Limits
from broker.domain.clock import Clock
from broker.limits.bucket import DEFAULT_RHO, Bucket
from broker.limits.learned import Learner
from broker.limits.port import Ask, Granted, GroupState, Observation, Resource, Settlement


class _Group:
    """A bucket, what was learned about it, and the event that its waiters share until it next changes."""

    __slots__ = ("bucket", "learner", "next_change", "paused_at")

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.learner = Learner()
        self.next_change: asyncio.Event | None = None
        self.paused_at = -math.inf

    def wake(self, since: int) -> None:
        if self.next_change is not None and self.bucket.generation != since:
            self.next_change.set()
            self.next_change = None


class MemoryLimiter:
    """Implements `Limiter` for one event loop; levels are lost with the process and start cold."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._groups: dict[str, _Group] = {}

    def declare(self, group: str, limits: Limits, rho: float = DEFAULT_RHO) -> None:
        """Make a group known, or replace its limits; levels, reservations and pauses of a known group stay.

        `rho` is the share of each limit to pace at. Raises `ValueError` for a limit that is not above zero.
        """
        now = self._clock.monotonic()
        known = self._groups.get(group)
        if known is None:
            self._groups[group] = _Group(Bucket(limits, now, rho=rho))
            return
        before = known.bucket.generation
        known.bucket.declare(limits, now, rho=rho)
        known.wake(before)

    async def reserve(self, group: str, asks: Sequence[Ask], *, horizon_s: float) -> Granted:
        return self._groups[group].bucket.reserve(self._clock.monotonic(), asks, horizon_s=horizon_s)

    async def settle(self, group: str, settlements: Sequence[Settlement]) -> None:
        known = self._groups[group]
        before = known.bucket.generation
        known.bucket.settle(self._clock.monotonic(), settlements)
        known.wake(before)

    async def throttle(self, group: str, *, hint_s: float, resource: Resource | None, reason: str) -> None:
        known, now = self._groups[group], self._clock.monotonic()
        known.bucket.throttle(now, hint_s=hint_s, resource=resource, reason=reason)
        known.paused_at = now

    async def observe(self, group: str, observations: Sequence[Observation], *, sent_at: float | None = None) -> None:
        known = self._groups[group]
        if not observations:
            return
        now = self._clock.monotonic()
        before = known.bucket.generation
        known.learner.observe(known.bucket, now, observations, sent_at=now if sent_at is None else sent_at)
        known.wake(before)

    async def changed(self, group: str, *, since: int) -> None:
        known = self._groups[group]
        while known.bucket.generation == since:
            if known.next_change is None:
                known.next_change = asyncio.Event()
            await known.next_change.wait()

    def void_before(self, group: str) -> float:
        return self._groups[group].paused_at

    async def state(self, group: str) -> GroupState:
        return self._groups[group].bucket.state(self._clock.monotonic())
