"""The recorder: commits reports in large transactions, and never lets go of one that is not committed.

While the database does not take them, reports are kept twice: here, and fsynced in the spool. No claim succeeds
then either, so what piles up is bounded by the calls that were in flight. What is not committed when the recorder
is stopped, or fails, is left in the spool for the next process.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice

from broker.domain.clock import Clock
from broker.domain.report import Conclusion, Part, Report
from broker.domain.result import ResultState
from broker.domain.usage import NO_USAGE
from broker.errors import StoreRefused, StoreUnavailable
from broker.store.engine import Database
from broker.store.plan import Plan
from broker.store.record import record
from workers.diary import Diary
from workers.patience import happens
from workers.spool import Spool

log = logging.getLogger("penstock.recorder")

LINGER_S = 0.01
"""A flush waits this long for company: a transaction costs as much as twenty reports in it."""
BUSY_LINGER_S = 0.03
"""While a flush takes so many reports that their number, and not their age, is what matters."""
BUSY_FLUSH = 100
MOST_PER_FLUSH = 500
MOST_WAITING = 2_000
_FIRST_RETRY_S = 0.2
_LONGEST_RETRY_S = 5.0

Recorded = Callable[[Sequence[Report], Plan], None]


async def commit(database: Database, reports: Sequence[Report]) -> tuple[list[Plan], list[Report]]:
    """Commit reports; returns what followed, and those that the database will never take.

    Where it refuses, the reports are halved until the ones at fault stand alone. Raises `StoreUnavailable`.
    """
    try:
        return [await database.write(record, reports)], []
    except StoreRefused as error:
        if len(reports) == 1:
            log.error("attempt %s cannot be recorded: %s", reports[0].attempt_id, error)  # noqa: TRY400 - said in full
            return [], list(reports)
    middle = len(reports) // 2
    first, second = await commit(database, reports[:middle]), await commit(database, reports[middle:])
    return first[0] + second[0], first[1] + second[1]


def without_answer(report: Report) -> Report:
    """What can surely be stored of a report that cannot: the call was made, and its job failed.

    But for a part of an answer: its bytes can be stored, so it is what goes with it that cannot.
    """
    custom_id = report.then.custom_id if isinstance(report.then, Conclusion) else None
    failed = Conclusion(
        state=ResultState.FAILED,
        custom_id=custom_id,
        error_code="unrecordable",
        error_message="the answer cannot be stored in the database; it was set aside beside the spool",
    )
    return replace(
        report,
        then=report.then if isinstance(report.then, Part) else failed,
        usage=NO_USAGE,
        cost=None,
        price_version=None,
        error=None,
        request_id=None,
    )


class Recorder:
    """One per process, shared by its workers."""

    def __init__(
        self, database: Database, spool: Spool, clock: Clock, recorded: Recorded, *, diary: Diary | None = None
    ) -> None:
        """Without a `diary`, what a killed process had not committed yet is lost with it."""
        self._diary = diary
        self._unnoted: list[Report] = []
        self._database = database
        self._spool = spool
        self._clock = clock
        self._recorded = recorded
        self._reports: deque[Report] = deque()
        self._spooled = 0
        """How many of the first reports are in the spool."""
        self._flushed = 0
        """How many the last flush took."""
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._reports)

    @property
    def spools(self) -> bool:
        """Whether reports are in the spool: the database does not take them."""
        return self._spool.in_use

    async def put(self, report: Report) -> None:
        """Take a report over; waits while too many are not committed yet."""
        self.put_nowait(report)
        await self._room.wait()

    def put_nowait(self, report: Report) -> None:
        """Take a report over in any case."""
        self._reports.append(report)
        if self._diary is not None:
            if not self._unnoted:  # with whatever else this turn of the event loop brings
                asyncio.get_running_loop().call_soon(self._note)
            self._unnoted.append(report)
        self._empty.clear()
        self._arrived.set()
        if len(self._reports) >= MOST_WAITING:
            self._room.clear()

    async def drained(self) -> None:
        """Wait until everything is committed."""
        await self._empty.wait()

    async def run(self) -> None:
        """Commit until cancelled; then nothing that was taken over is in memory only."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                await self._clock.sleep(BUSY_LINGER_S if self._flushed >= BUSY_FLUSH else LINGER_S)
                while self._reports:
                    await self._commit(list(islice(self._reports, MOST_PER_FLUSH)))
                self._empty.set()
        finally:
            # Without awaiting, so that nothing can come between. A commit that was under way may be among them:
            # committing it again changes nothing.
            self._spool_now(self._unkept())
            self._spool.leave()
            self._close_diary()

    async def _commit(self, reports: list[Report]) -> None:
        retry_s = _FIRST_RETRY_S
        while True:
            try:
                plans, refused = await commit(self._database, reports)
                break
            except StoreUnavailable as error:
                await self._keep()
                log.warning("results wait for the database (%d kept): %s", len(self._reports), error)
                await self._rest(retry_s)
                retry_s = min(2 * retry_s, _LONGEST_RETRY_S)
        self._flushed = len(reports)
        for _ in reports:
            self._reports.popleft()
        self._spooled = max(0, self._spooled - len(reports))
        self._strike(len(reports))
        if len(self._reports) < MOST_WAITING:
            self._room.set()
        for report in refused:
            substitute = without_answer(report)
            if substitute != report:
                await self._set_aside(report)
                self.put_nowait(substitute)
        unstored = {report.attempt_id for report in refused}
        stored = [report for report in reports if report.attempt_id not in unstored]
        for plan in plans:
            self._recorded(stored, plan)
        if not self._spooled and self._spool.in_use:
            await self._clear()

    def _note(self) -> None:
        reports, self._unnoted = self._unnoted, []
        if self._diary is not None and reports:
            try:
                self._diary.note(reports)
            except OSError:
                log.exception("%d answers could not be noted; a kill before their commit would lose them", len(reports))

    def _strike(self, count: int) -> None:
        if self._diary is not None:
            try:
                self._diary.committed(count)
            except OSError:
                log.exception("notes of committed answers stay; reading them again changes nothing")

    def _close_diary(self) -> None:
        if self._diary is not None:
            try:
                self._diary.close()
            except OSError:
                log.exception("the notes could not be closed")

    async def _rest(self, seconds: float) -> None:
        """Wait before the next try. What arrives meanwhile goes to the spool at once: the process may die before."""
        over = self._clock.monotonic() + seconds
        while True:
            self._arrived.clear()
            await self._keep()
            left = over - self._clock.monotonic()
            if left <= 0 or not await happens(self._arrived, within_s=left, clock=self._clock):
                return

    async def _keep(self) -> None:
        """Put whatever is not in the spool yet there."""
        unkept = self._unkept()
        if unkept:
            kept = await asyncio.to_thread(self._spool_now, unkept)
            self._spooled += len(unkept) if kept else 0

    def _unkept(self) -> list[Report]:
        return list(islice(self._reports, self._spooled, None))

    def _spool_now(self, reports: Sequence[Report]) -> bool:
        if not reports:
            return True
        try:
            self._spool.append(reports)
        except (OSError, TypeError):
            log.exception("the spool cannot be written, %d answers are in memory only", len(reports))
            return False
        return True

    async def _set_aside(self, report: Report) -> None:
        """One report that cannot be stored must not hold up the others: people get its answer in a file."""
        try:
            path = await asyncio.to_thread(self._spool.set_aside, [report])
        except (OSError, TypeError):
            log.exception("attempt %s cannot be stored, nor set aside", report.attempt_id)
        else:
            log.error("attempt %s cannot be stored, its answer is in %s", report.attempt_id, path)

    async def _clear(self) -> None:
        """All that is in the spool is committed; where it cannot be removed, a replay of it changes nothing."""
        try:
            await asyncio.to_thread(self._spool.clear)
        except OSError:
            log.exception("the spool cannot be removed")
