"""What one process knows of a shared limit group: what it holds, what it has still to say, and how it last looked."""

import asyncio
import math
from collections.abc import Sequence

from broker.limits.port import Ask, Grant, GroupState, Level, Resource, Settled, Settlement
from broker.limits.redis_degraded import LocalShare
from broker.limits.redis_wire import Declaration, Held, Joining, Reply, Seen, levels_of
from broker.limits.server_clock import ServerClock
from broker.limits.tank import DAY_S, MEASURES

MOST_AT_ONCE = 500
"""Asks or settlements in one call: keeps the script below a few milliseconds."""


class SharedGroup:
    """One process's side of a limit group. Moments are on this process's clock."""

    __slots__ = (
        "_clock",
        "_disowned",
        "again",
        "declaration",
        "heard_at",
        "hurry",
        "last",
        "life",
        "next_change",
        "open",
        "outbox",
        "pause_reason",
        "paused_at",
        "paused_until",
        "seen",
        "share",
        "turn",
        "untold",
        "waiters",
        "waiting_since",
    )

    def __init__(self, declaration: Declaration, clock: ServerClock) -> None:
        self._clock = clock
        self._disowned: set[str] = set()
        """Asked for in a call whose answer was lost: should they have been granted, they were never started."""
        self.declaration = declaration
        self.untold = True
        """Whether the shared state has yet to hear the declaration."""
        self.again = False
        """Whether calls may have been made that the shared state was not told of."""
        self.life: str | None = None
        """Which life of the shared state this process has joined; another one means that it was lost."""
        self.open: dict[str, Held] = {}
        self.outbox: list[Settlement] = []
        self.seen: list[Seen] = []
        self.waiting_since = math.inf
        """When the oldest news was put by."""
        self.heard_at = -math.inf
        self.hurry = False
        self.last: Reply | None = None
        self.paused_at = -math.inf
        self.paused_until = -math.inf
        self.pause_reason = ""
        self.share: LocalShare | None = None
        self.turn = asyncio.Lock()
        """One call at a time: what is said about a reservation must arrive in order."""
        self.next_change = asyncio.Event()
        self.waiters = 0

    @property
    def generation(self) -> int:
        """Moves on with every event after which an ask that was not granted may be."""
        if self.share is not None:
            return self.share.generation
        return 0 if self.last is None else self.last.generation

    @property
    def workers(self) -> int:
        """How many processes share the group, as far as known."""
        return max(self.declaration.workers, 1 if self.last is None else self.last.members)

    def unknown(self, asks: Sequence[Ask]) -> list[Ask]:
        """Those of the asks that this process does not hold."""
        return [ask for ask in asks if ask.reservation_id not in self.open]

    def prefix(self, asks: Sequence[Ask]) -> list[Grant]:
        """Grants of the first asks, up to one that is not held."""
        grants = []
        for ask in asks:
            held = self.open.get(ask.reservation_id)
            if held is None:
                break
            grants.append(Grant(reservation_id=ask.reservation_id, start_at=held.start_at))
        return grants

    def put_by(self, now: float, settlements: Sequence[Settlement], seen: Sequence[Seen]) -> None:
        """Keep news for the next call."""
        self.outbox.extend(settlements)
        self.seen.extend(seen)
        if settlements or seen:
            self.waiting_since = min(self.waiting_since, now)

    def take_news(self) -> tuple[list[Settlement], list[Seen]]:
        """Take what is to be said now, the refunds of disowned asks first."""
        strangers = [one for one in self._disowned if one not in self.open]
        self._disowned.clear()
        news = [Settlement(reservation_id=one, how=Settled.NOT_STARTED) for one in strangers]
        news += self.outbox[:MOST_AT_ONCE]
        del self.outbox[:MOST_AT_ONCE]
        seen, self.seen = self.seen, []
        if not self.outbox:
            self.waiting_since = math.inf
        return news, seen

    def put_back(self, now: float, news: Sequence[Settlement], asks: Sequence[Ask]) -> None:
        """A call failed: say its news again, which is safe, and disown what it asked for."""
        self.outbox[:0] = news
        self.waiting_since = min(self.waiting_since, now)
        self._disowned.update(ask.reservation_id for ask in asks)

    def joining(self, now: float) -> Joining:
        """Say what this process holds and knows; from here on the shared state is told how it ends."""
        self.open = {
            one: held if held.shared else Held(start_at=held.start_at, need=held.need, shared=True)
            for one, held in self.open.items()
        }
        levels = {} if self.last is None else levels_of(self.last)
        return Joining(
            declaration=self.declaration,
            again=self.again,
            open=self.open,
            day_levels={one: level for one, (_, level) in levels.items() if MEASURES[one].period_s == DAY_S},
            paused_for_s=max(0.0, self.paused_until - now),
            pause_reason=self.pause_reason,
        )

    def heard(self, reply: Reply, asks: Sequence[Ask], now: float) -> None:
        """Take over a reply to these asks."""
        changed = reply.generation != self.generation
        self.last, self.life, self.heard_at = reply, reply.life, now
        self.untold = self.again = False
        self.share = None
        self.hurry = reply.hurry
        if reply.paused_at:
            self.paused_at = self._clock.here(reply.paused_at)
        self.paused_until = now + reply.paused_for_s
        self.pause_reason = reply.pause_reason
        for ask, start in zip(asks, reply.starts, strict=False):
            self.open[ask.reservation_id] = Held(start_at=self._clock.here(start), need=ask.need, shared=True)
        if changed:
            self.wake()

    def lost(self) -> None:
        """The shared state cannot be asked: whatever it says next, this process must join it again."""
        self.life, self.again = None, True

    def alone(self, now: float) -> LocalShare:
        """Give the share that this process may use by itself; it is made when it is first needed."""
        if self.share is None:
            self.share = LocalShare(
                self.declaration,
                now=now,
                workers=self.workers,
                levels={} if self.last is None else levels_of(self.last),
                held=self.open.values(),
            )
            if self.paused_until > now:
                self.share.throttle(now, hint_s=self.paused_until - now, resource=None, reason=self.pause_reason)
            self.wake()
        return self.share

    def paused(self, now: float, hint_s: float, reason: str) -> None:
        """Remember a pause that this process was told of."""
        self.paused_at = now
        if now + hint_s >= self.paused_until:
            self.paused_until, self.pause_reason = now + hint_s, reason

    def wake(self) -> None:
        """Tell all that wait for a change to look again."""
        self.next_change.set()
        self.next_change = asyncio.Event()

    def state(self, reply: Reply) -> GroupState:
        """Describe the group as the script has just described it."""
        return GroupState(
            levels=[_level(resource, *level, reply.used) for resource, level in levels_of(reply).items()],
            in_flight=reply.in_flight,
            slots=self.declaration.limits.concurrency,
            paused_for_s=reply.paused_for_s,
            pause_reason=reply.pause_reason if reply.paused_for_s > 0 else None,
        )


def _level(resource: Resource, limit: float, level: float, used: tuple[float, float, float]) -> Level:
    measure = MEASURES[resource]
    weights = (measure.per_request, measure.per_input_token, measure.per_output_token)
    return Level(
        resource=resource,
        limit=limit,
        period_s=measure.period_s,
        available=level,
        used=sum(weight * amount for weight, amount in zip(weights, used, strict=True)),
    )
