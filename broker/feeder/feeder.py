"""The feeder: keeps a shallow window of every route full, in fair shares over the batches that may run.

refresh   which batches have work, and of what weight          (each second, and when woken)
fill      due jobs first, then the fair pick of the next batch  (many times a second)
publish   turns to the transport
advance   cursors in the database, after the transport has them

When the database or the transport fails, what was taken but not published is in nobody's hands: the cursors are
read again, and fed jobs that have no owner are handed back. Jobs that are in the window all the same run once.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from broker.domain.batch import Batch, BatchState
from broker.domain.clock import Clock
from broker.domain.job import Job, JobKey
from broker.errors import StoreUnavailable
from broker.feeder.cost import PoolRates, cost
from broker.feeder.fair_share import FairShare, StartBonus
from broker.feeder.reconcile import Overdue, reconcile
from broker.feeder.segments import Cursor, SegmentReader
from broker.feeder.window import LOCAL_SECONDS, RateMeter, packing, target
from broker.limits.port import Charge
from broker.store import batches, due, manifest
from broker.store.engine import Database
from broker.transport.port import Transport, TransportUnavailable, Turn

log = logging.getLogger("penstock.feeder")

TICK_S = 0.03
REFRESH_S = 1.0
BYTES_PER_TOKEN = 4.0
"""Rough is enough for shares between batches; output is expected as the batch's own mean so far."""
SAVE_S = 0.5
"""Cursors are written this often: a crash feeds at most so much again, which the claims make harmless."""
LOOK_FOR_DUE_S = 0.15
"""After a look that found nothing due; a wake-up comes sooner."""
NO_ROOM_S = 1.0
"""A due job whose window is full is looked at again after this."""
MOST_DUE = 1_000
_FIRST_RETRY_S = 0.2
_LONGEST_RETRY_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSupply:
    """What the workers of a route can take."""

    slots: int
    """Calls in flight, over all its workers."""
    workers: int
    """Each of which may hold a job for as long as its account's limits make it wait."""
    rates: PoolRates
    """Per second, over all its accounts."""
    slowest_per_s: float | None = None
    """Calls that the slowest of its workers may start; `None` where one has no declared limits."""


@dataclass(slots=True)
class _Route:
    shares: FairShare
    meter: RateMeter
    cursors: dict[int, Cursor] = field(default_factory=dict)
    published: int = 0
    consumed: int | None = None
    """Of what was published: how much has been taken for good; unknown before the first look."""
    left: int = 0
    """Jobs that were never fed, at the last look."""
    overdue: Overdue = field(default_factory=Overdue)


class Feeder:
    """Feeds the batches in `only` (all of them, if that is None) to the transport."""

    def __init__(
        self,
        *,
        database: Database,
        transport: Transport,
        supplies: Mapping[str, RouteSupply],
        clock: Clock,
        only: Collection[int] | None = None,
        window_s: float = LOCAL_SECONDS,
        packed: int = 1,
        bonus: StartBonus | None = None,
        on_fed: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._database = database
        self._transport = transport
        self._supplies = supplies
        self._clock = clock
        self._only = only
        self._window_s = window_s
        self._packed = packed
        self._sure = False
        """What the cursors say was fed is in the window, in the ledger, or due."""
        self._on_fed = on_fed
        self._reader = SegmentReader(database)
        now = clock.monotonic()
        self._routes = {route: _Route(FairShare(bonus), RateMeter(now=now)) for route in supplies}
        self._running: dict[int, Batch] = {}
        self._refresh_at = now
        self._look_for_due_at = 0.0
        self._unsaved: dict[tuple[int, int], int] = {}
        self._save_at = now
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Something changed (a batch, a due row): look again at once."""
        self._refresh_at = self._look_for_due_at = 0.0
        self._wake.set()

    def doubt(self) -> None:
        """Turns may have been lost: compare what was fed with the ledger before going on."""
        self._sure = False
        self.wake()

    async def run(self) -> None:
        """Feed until cancelled. What was fed before this process began is reconciled first."""
        retry_s = _FIRST_RETRY_S
        while True:
            try:
                if not self._sure:
                    self._sure = True  # a loss that is told meanwhile raises new doubt
                    await self._recover()
                fed = await self.feed()
                await self._hand_back_overdue()
            except (StoreUnavailable, TransportUnavailable) as error:
                log.warning("feeding waits: %s", error)
                self._sure = False
                await self._clock.sleep(retry_s)
                retry_s = min(2 * retry_s, _LONGEST_RETRY_S)
                continue
            retry_s = _FIRST_RETRY_S
            try:
                async with asyncio.timeout(TICK_S if fed or self._has_work() else REFRESH_S):
                    await self._wake.wait()
            except TimeoutError:
                continue
            self._wake.clear()

    async def feed(self) -> int:
        """Fill every window once; returns the number of jobs that were published."""
        now = self._clock.monotonic()
        if now >= self._refresh_at:
            self._refresh_at = now + REFRESH_S
            await self._refresh()
        fed = await self._feed_due()
        for name, route in self._routes.items():
            if len(route.shares):
                fed += await self._fill(name, route)
        if now >= self._save_at:
            await self._save()
            self._save_at = now + SAVE_S
        if fed:
            self._on_fed(fed)
        return fed

    def _has_work(self) -> bool:
        return bool(self._running)

    async def _recover(self) -> None:
        """Start from what the database knows; what was published stays written down."""
        await self._save()
        for name, route in self._routes.items():
            for batch_id in route.cursors:
                route.cursors[batch_id] = self._cursor(batch_id, name)
        await reconcile(self._database, self._only)
        self._refresh_at = self._look_for_due_at = 0.0

    def _cursor(self, batch_id: int, route: str) -> Cursor:
        return Cursor(self._database, self._reader, batch_id, route)

    async def _refresh(self) -> None:
        """Learn which batches have jobs to be fed; pause and cancel take effect here."""
        await self._save()  # a cursor that begins here starts behind what was published
        known = {
            batch.id: batch
            for batch in await self._database.read(batches.in_state, BatchState.RUNNING, BatchState.PAUSED)
            if self._only is None or batch.id in self._only
        }
        self._running = {batch.id: batch for batch in known.values() if batch.state is BatchState.RUNNING}
        seen: set[tuple[int, str]] = set()
        for route in self._routes.values():
            route.left = 0
        for batch_id, name, unfed in await self._database.read(manifest.unfed_routes):
            known_route = self._routes.get(name)
            batch = self._running.get(batch_id)
            if known_route is None or batch is None:
                continue
            route = known_route
            route.left += unfed
            if batch_id not in route.cursors:
                route.cursors[batch_id] = self._cursor(batch_id, name)
            seen.add((batch_id, name))
            route.shares.add(batch_id, weight=batch.weight, jobs=batch.counts.total)
        for name, route in self._routes.items():
            for batch_id in list(route.cursors):
                if (batch_id, name) not in seen:
                    route.shares.remove(batch_id)
                    if batch_id not in known:  # a paused batch keeps what it has paid
                        route.shares.forget(batch_id)
                        del route.cursors[batch_id]

    async def _feed_due(self) -> int:
        """Jobs that are due again go before new ones: they are the oldest, and their batch pays for them as well."""
        now = self._clock.monotonic()
        if not self._running or now < self._look_for_due_at:
            return 0
        space = {name: max(0, await self._space(name, route)) for name, route in self._routes.items()}
        room = sum(space.values())
        if not room:
            return 0
        jobs: list[Job] = []
        no_room: list[JobKey] = []
        keys = await self._database.write(due.take_due, self._running.keys(), min(room, MOST_DUE))
        if not keys:
            self._look_for_due_at = now + LOOK_FOR_DUE_S
        for job in await self._reader.jobs(keys):
            if space.get(job.route, 0) > 0:
                space[job.route] -= 1
                self._charge(self._routes[job.route], job)
                jobs.append(job)
            elif job.route in space:
                no_room.append(job.key)
        if no_room:
            await self._database.write(due.postpone, no_room, NO_ROOM_S)
        by_route: defaultdict[str, list[Job]] = defaultdict(list)
        for job in jobs:
            by_route[job.route].append(job)
        for name, these in by_route.items():
            await self._publish(name, these)
        return len(jobs)

    async def _fill(self, name: str, route: _Route) -> int:
        space = await self._space(name, route)
        jobs: list[Job] = []
        fed_to: dict[tuple[int, int], int] = {}
        while len(jobs) < space and (batch_id := route.shares.pick()) is not None:
            cursor = route.cursors[batch_id]
            job = await cursor.next()
            if job is None:
                route.shares.remove(batch_id)
                continue
            self._charge(route, job)
            jobs.append(job)
            batch, segment, fed = cursor.position()
            fed_to[batch, segment] = fed
        await self._publish(name, jobs)
        route.left = max(0, route.left - len(jobs))
        self._unsaved |= fed_to
        route.overdue.fed(fed_to, self._clock.monotonic(), route.published)
        return len(jobs)

    def _charge(self, route: _Route, job: Job) -> None:
        if job.key.batch_id in route.shares:
            batch = self._running[job.key.batch_id]
            outputs = (batch.usage.output_tokens or 0) / max(1, batch.counts.succeeded)
            need = Charge(input_tokens=len(job.body) / BYTES_PER_TOKEN, output_tokens=outputs)
            route.shares.charge(job.key.batch_id, cost(need, self._supplies[job.route].rates))

    async def _space(self, name: str, route: _Route) -> int:
        now = self._clock.monotonic()
        waiting = await self._transport.waiting(name)
        consumed = route.published - waiting
        if route.consumed is not None:  # before the first look, what waits there was published by a predecessor
            route.meter.add(max(0, consumed - route.consumed), now=now)
        route.consumed = consumed
        supply = self._supplies[name]
        want = target(
            rate_per_s=route.meter.rate(now=now),
            free_slots=supply.slots,
            seconds=self._window_s,
            allowed_per_s=supply.rates.requests_per_s,
            consumers=2 * supply.workers,
        )
        return want - waiting

    async def _publish(self, name: str, jobs: list[Job]) -> None:
        if jobs:
            size = self._jobs_to_a_turn(name)
            turns = [Turn(route=name, jobs=tuple(jobs[at : at + size])) for at in range(0, len(jobs), size)]
            await self._transport.publish(turns)
            self._routes[name].published += len(jobs)

    def _jobs_to_a_turn(self, name: str) -> int:
        supply, route = self._supplies[name], self._routes[name]
        recent = route.meter.rate(now=self._clock.monotonic()) / max(1, supply.workers)
        slowest = recent if supply.slowest_per_s is None else supply.slowest_per_s
        return packing(per_worker_s=slowest, most=self._packed, left=route.left // max(1, supply.workers))

    async def _hand_back_overdue(self) -> None:
        """Turns that were lost without a word: segments that were fed long ago, and that nobody finishes."""
        for name, route in self._routes.items():
            now = self._clock.monotonic()
            if route.overdue.due(now):
                # Those that wait may wait for long: for an account
                consumed = route.published - await self._transport.waiting(name)
                if await route.overdue.hand_back(self._database, now, consumed):
                    self.wake()

    async def _save(self) -> None:
        if self._unsaved:
            cursors = [(batch, segment, fed) for (batch, segment), fed in self._unsaved.items()]
            await self._database.write(manifest.advance, cursors)
            self._unsaved.clear()
