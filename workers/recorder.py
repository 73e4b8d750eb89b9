"""The recorder: commits reports in large transactions, and never lets go of one that is not committed.

While the database does not take them, reports are kept twice: here, and fsynced in the spool. No claim succeeds
then either, so what piles up is bounded by the calls that were in flight.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

from broker.domain.clock import Clock
from broker.domain.report import Report
from broker.errors import StoreUnavailable
from broker.store.engine import Database
from broker.store.plan import Plan
from broker.store.record import record
from workers.spool import Spool

log = logging.getLogger("penstock.recorder")

LINGER_S = 0.01
"""A flush waits this long for company: a transaction costs as much as twenty reports in it."""
MOST_PER_FLUSH = 500
MOST_WAITING = 2_000
_FIRST_RETRY_S = 0.2
_LONGEST_RETRY_S = 5.0

Recorded = Callable[[Sequence[Report], Plan], None]


class Recorder:
    """One per process, shared by its workers."""

    def __init__(self, database: Database, spool: Spool, clock: Clock, recorded: Recorded) -> None:
        self._database = database
        self._spool = spool
        self._clock = clock
        self._recorded = recorded
        self._reports: deque[Report] = deque()
        self._spooled = 0
        """How many of the first reports are in the spool."""
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._reports)

    async def put(self, report: Report) -> None:
        """Take a report over; waits while too many are not committed yet."""
        self.put_nowait(report)
        await self._room.wait()

    def put_nowait(self, report: Report) -> None:
        """Take a report over in any case."""
        self._reports.append(report)
        self._empty.clear()
        self._arrived.set()
        if len(self._reports) >= MOST_WAITING:
            self._room.clear()

    async def drained(self) -> None:
        """Wait until everything is committed."""
        await self._empty.wait()

    async def run(self) -> None:
        """Commit until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            await self._clock.sleep(LINGER_S)
            while self._reports:
                await self._commit([self._reports[i] for i in range(min(len(self._reports), MOST_PER_FLUSH))])
            self._empty.set()

    async def _commit(self, reports: list[Report]) -> None:
        retry_s = _FIRST_RETRY_S
        while True:
            try:
                plan = await self._database.write(record, reports)
                break
            except StoreUnavailable as error:
                await self._keep()
                log.warning("results wait for the database (%d kept): %s", len(self._reports), error)
                await self._clock.sleep(retry_s)
                retry_s = min(2 * retry_s, _LONGEST_RETRY_S)
        for _ in reports:
            self._reports.popleft()
        self._spooled = max(0, self._spooled - len(reports))
        if not self._reports and self._spool.in_use:
            await asyncio.to_thread(self._spool.clear)
        if len(self._reports) < MOST_WAITING:
            self._room.set()
        self._recorded(reports, plan)

    async def _keep(self) -> None:
        """Put whatever is not in the spool yet there."""
        unkept = list(self._reports)[self._spooled :]
        if not unkept:
            return
        try:
            await asyncio.to_thread(self._spool.append, unkept)
        except OSError:
            log.exception("the spool cannot be written, %d answers are in memory only", len(unkept))
        else:
            self._spooled += len(unkept)
