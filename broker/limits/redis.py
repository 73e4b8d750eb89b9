"""The limiter that processes share: one script on a Redis server decides, and each process knows how to do without.

healthy ──── a call fails, or takes more than 250 ms ────▶ away
   ▲         (every group goes on with a cautious share)     │
   └──── a call succeeds; each group first says again ◀──────┘
         what it holds open
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from broker.domain.account import Limits
from broker.domain.clock import Clock
from broker.limits.bucket import DEFAULT_RHO, Bucket
from broker.limits.port import Ask, Granted, GroupState, Observation, Resource, Settlement
from broker.limits.redis_degraded import LocalShare
from broker.limits.redis_group import MOST_AT_ONCE, SharedGroup
from broker.limits.redis_link import DEADLINE_S, UNREACHABLE, Link
from broker.limits.redis_wire import Declaration, Held, Reply, Request, Seen, decode, encode, sayable
from broker.limits.server_clock import ServerClock

FLUSH_S = 0.1
FLUSH_AT = 32
"""News wait this long for company, or until they are so many."""
HEARTBEAT_S = 5.0
"""A process says at least this often that it lives; the script takes 30 s of silence for its death."""
RETRY_S = 0.5
"""How often a server that is away is tried."""
POLL_S = 0.05
"""How often one who waits for a free slot looks whether another process has freed one."""
LEASE_S = 900.0
TEST_PREFIX = "test"


class RedisLimiter:
    """Implements `Limiter` for all processes that use one server and prefix; `run` must run beside it.

    `member` names this process among them, and no other ever. Settlements and observations travel with the next
    call, at most 100 ms later. A server that fails is no error: `state` tells.
    """

    def __init__(
        self,
        url: str,
        *,
        member: str,
        clock: Clock,
        prefix: str = "penstock",
        deadline_s: float = DEADLINE_S,
        server_time: Callable[[], float] | None = None,
    ) -> None:
        """Take the server's address; a call that takes longer than `deadline_s` is not waited for."""
        if server_time is not None and not prefix.startswith(TEST_PREFIX):
            raise ValueError(f"only a prefix that begins with {TEST_PREFIX!r} may replace the server's clock")
        self._link = Link(url, prefix=prefix)
        self._member = member
        self._clock = clock
        self._deadline_s = deadline_s
        self._server_time = server_time
        self._server_clock = ServerClock()
        self._groups: dict[str, SharedGroup] = {}
        self._away: str | None = None
        self._retry_at = -math.inf
        self._running = False
        self._wake = asyncio.Event()

    @property
    def away(self) -> str | None:
        """Why only a share of the limits is handed out; `None`: the server answers."""
        return self._away

    def declare(
        self,
        group: str,
        limits: Limits,
        rho: float = DEFAULT_RHO,
        used_today: Mapping[Resource, float] | None = None,
        *,
        workers: int = 1,
        lease_s: float = LEASE_S,
    ) -> None:
        """Make a group known, or replace its limits; levels, reservations and pauses of a known group stay.

        `used_today` counts where day levels are made up anew: first of all, and after the server lost them. `workers`
        is how many processes are expected to share the group. A reservation that is not settled `lease_s` seconds
        after its start is given up: choose more than a call may take. Raises `ValueError` for a limit not above zero.
        """
        Bucket(limits, 0.0, rho=rho)  # refuses what no limiter could pace by
        declaration = Declaration(limits=limits, rho=rho, used_today=used_today or {}, workers=workers, lease_s=lease_s)
        known = self._groups.get(group)
        if known is None:
            self._groups[group] = SharedGroup(declaration, self._server_clock)
        else:
            known.declaration, known.untold, known.share = declaration, True, None
        self._wake.set()

    async def run(self) -> None:
        """Send what waits for company, stay known to the others, come back after an outage; until cancelled."""
        self._running = True
        try:
            while True:
                due = {name: self._due_at(known) for name, known in self._groups.items()}
                now = self._clock.monotonic()
                for name, at in due.items():
                    if at <= now:
                        await self._exchange(name, probing=True)
                soonest = min(map(self._due_at, self._groups.values()), default=math.inf)
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(HEARTBEAT_S, soonest - self._clock.monotonic())):
                        await self._wake.wait()
                self._wake.clear()
        finally:
            self._running = False

    async def flush(self) -> None:
        """Say now what waits for company, and make declarations known."""
        for name, known in self._groups.items():
            if known.untold or known.outbox or known.seen:
                await self._exchange(name)

    async def close(self) -> None:
        """Say what is left to say, give up what is still open, and leave the others to share the limits."""
        for name, known in self._groups.items():
            if known.life is not None:
                await self._exchange(name, leave=True)
        await self._link.close()

    async def reserve(self, group: str, asks: Sequence[Ask], *, horizon_s: float) -> Granted:
        known = self._groups[group]
        granted = Granted(grants=(), retry_in=None, generation=known.generation)
        for start in range(0, len(asks), MOST_AT_ONCE):
            chunk = asks[start : start + MOST_AT_ONCE]
            if not known.unknown(chunk):
                continue
            reply = await self._exchange(group, ask=chunk, horizon_s=horizon_s)
            if reply is None:
                granted = self._reserve_alone(known, chunk, horizon_s)
            else:
                granted = Granted(grants=(), retry_in=reply.retry_in, why=reply.why, generation=reply.generation)
            if granted.why is not None:
                break
        return Granted(
            grants=known.prefix(asks), retry_in=granted.retry_in, why=granted.why, generation=granted.generation
        )

    async def settle(self, group: str, settlements: Sequence[Settlement]) -> None:
        known = self._groups[group]
        now = self._clock.monotonic()
        ended = [known.open.pop(one.reservation_id, None) for one in settlements]
        if known.share is not None:
            known.share.settle(now, settlements)
        shared = [one for one, held in zip(settlements, ended, strict=True) if held is None or held.shared]
        known.put_by(now, shared, ())
        if known.waiters:
            known.wake()
        self._wake.set()

    async def throttle(self, group: str, *, hint_s: float, resource: Resource | None, reason: str) -> None:
        known = self._groups[group]
        now = self._clock.monotonic()
        if await self._exchange(group, throttle=(hint_s, reason, resource)) is None:
            self._alone(known).throttle(now, hint_s=hint_s, resource=resource, reason=reason)
            known.paused(now, hint_s, reason)

    async def observe(self, group: str, observations: Sequence[Observation], *, sent_at: float | None = None) -> None:
        known = self._groups[group]
        now = self._clock.monotonic()
        moment = now if sent_at is None else sent_at
        numbers = [one for one in observations if sayable(one)]
        if known.share is not None:
            known.share.observe(now, numbers, sent_at=moment)
        elif numbers:
            known.put_by(now, (), [Seen(observation=one, sent_at=moment) for one in numbers])
            self._wake.set()

    async def changed(self, group: str, *, since: int) -> None:
        known = self._groups[group]
        known.waiters += 1
        try:
            while known.generation == since:
                event = known.next_change
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await event.wait()
                if known.generation == since:
                    await self._exchange(group)
        finally:
            known.waiters -= 1

    async def state(self, group: str) -> GroupState:
        known = self._groups[group]
        reply = await self._exchange(group, describe=True)
        if reply is not None:
            return known.state(reply)
        return self._alone(known).state(
            self._clock.monotonic(), in_flight=len(known.open), why=self._away or "Redis does not answer"
        )

    def void_before(self, group: str) -> float:
        return self._groups[group].paused_at

    def _due_at(self, known: SharedGroup) -> float:
        """When something should be said of a group though nobody asks."""
        if self._away is not None:
            return self._retry_at
        if known.again or known.untold:
            return -math.inf
        if known.hurry or len(known.outbox) >= FLUSH_AT:
            return known.waiting_since
        return min(known.waiting_since + FLUSH_S, known.heard_at + HEARTBEAT_S)

    def _alone(self, known: SharedGroup) -> LocalShare:
        return known.alone(self._clock.monotonic())

    def _reserve_alone(self, known: SharedGroup, asks: Sequence[Ask], horizon_s: float) -> Granted:
        fresh = known.unknown(asks)
        granted = self._alone(known).reserve(
            self._clock.monotonic(), fresh, horizon_s=horizon_s, in_flight=len(known.open)
        )
        for ask, grant in zip(fresh, granted.grants, strict=False):
            known.open[ask.reservation_id] = Held(start_at=grant.start_at, need=ask.need, shared=False)
        return granted

    def _may_try(self, *, probing: bool) -> bool:
        if self._away is None:
            return True
        return (probing or not self._running) and self._clock.monotonic() >= self._retry_at

    async def _exchange(
        self,
        group: str,
        *,
        ask: Sequence[Ask] = (),
        horizon_s: float = 0.0,
        throttle: tuple[float, str, Resource | None] | None = None,
        describe: bool = False,
        leave: bool = False,
        probing: bool = False,
    ) -> Reply | None:
        """Say and ask everything in one call; `None` when there is nobody to ask."""
        if not self._may_try(probing=probing):
            return None
        known = self._groups[group]
        async with known.turn:
            if not self._may_try(probing=probing):  # it went away while this caller waited for its turn
                return None
            self._retry_at = self._clock.monotonic() + RETRY_S
            asks = known.unknown(ask)
            news, seen = known.take_news()
            request = Request(
                member=self._member,
                life=known.life,
                ask=asks,
                horizon_s=horizon_s,
                settle=news,
                seen=seen,
                throttle=throttle,
                describe=describe,
                leave=leave,
            )
            reply = None
            try:
                async with asyncio.timeout(self._deadline_s):
                    reply = await self._talk(group, known, request)
            except UNREACHABLE as error:
                self._lose(error)
            finally:
                if reply is None:
                    known.put_back(self._clock.monotonic(), news, asks)
            if reply is not None:
                self._away = None
                known.heard(reply, asks, self._clock.monotonic())
            return reply

    async def _talk(self, group: str, known: SharedGroup, request: Request) -> Reply:
        """Make the call; a state that does not know this process is first told what it holds."""
        reply = await self._send(group, known, request, join=known.untold and known.life is not None)
        if reply.stranger:
            known.again = known.again or known.life is not None
            reply = await self._send(group, known, request, join=True)
        return reply

    async def _send(self, group: str, known: SharedGroup, request: Request, *, join: bool) -> Reply:
        asked = self._clock.monotonic()
        joining = known.joining(asked) if join else None
        time = "" if self._server_time is None else repr(self._server_time())
        said = encode(request, joining, self._server_clock.ahead)
        reply = decode(await self._link.call(group, said, time))
        self._server_clock.learn(asked=asked, came=self._clock.monotonic(), server=reply.now)
        return reply

    def _lose(self, error: BaseException) -> None:
        """Go on alone, all groups at once: they share the server."""
        self._away = f"Redis does not answer: {type(error).__name__}" + (f" ({error})" if str(error) else "")
        for known in self._groups.values():
            known.lost()
        self._wake.set()
