"""Reconciliation: jobs that were fed, and that nobody owns any more, are handed back.

A job is owned by its result, its open attempt, its due row, or by the queue it was published to. After a
restart, or after the queue was lost, what is left of the fed jobs has no owner.
"""

import logging
from collections.abc import Collection, Iterable

from broker.domain.batch import TERMINAL, BatchState
from broker.domain.job import JobKey
from broker.store import batches, due, manifest
from broker.store.engine import Database
from broker.store.manifest import SegmentRow
from broker.store.segment import read_segment, unpack_line

log = logging.getLogger("penstock.feeder")

OVERDUE_S = 60.0
"""A job that was fed so long ago, and does not wait in its queue, should have been claimed."""
LOOK_AGAIN_S = 2.0
"""Often, so that a look at what a fast route has finished since does not take long."""


async def reconcile(database: Database, only: Collection[int] | None = None) -> int:
    """Hand back every fed job that nobody owns; returns how many. The queue must be empty, or be given up."""
    await database.write(due.untake)
    handed_back = 0
    for batch in await database.read(batches.in_state, BatchState.RUNNING, BatchState.PAUSED):
        if only is not None and batch.id not in only:
            continue
        for row in await database.read(manifest.segment_rows, batch.id):
            if row.fed:
                handed_back += await _segment(database, row)
    return handed_back


class Overdue:
    """Finds turns of one route that were lost without a word: segments fed a while ago, and not finished.

    The caller counts the jobs that it publishes, and those that wait. A queue gives out first what came first: with
    so many left in it, everything published before them is gone, also where the queue is never empty.
    """

    def __init__(self) -> None:
        self._fed: dict[tuple[int, int], tuple[float, int]] = {}
        """Per batch and segment number: when, in monotonic seconds, and how many jobs were published by then."""
        self._look_at = 0.0

    def fed(self, segments: Iterable[tuple[int, int]], now: float, published: int = 0) -> None:
        """Jobs of these segments were published, as the last of so many."""
        self._fed.update((segment, (now, published)) for segment in segments)

    def due(self, now: float) -> bool:
        """Whether a look is worth it."""
        return now >= self._look_at and any(now - at >= OVERDUE_S for at, _ in self._fed.values())

    async def hand_back(self, database: Database, now: float, consumed: int = 0) -> int:
        """Hand back jobs that nobody owns, of overdue segments; returns how many.

        `consumed` of the jobs that were published do not wait any more, the first ones.
        """
        self._look_at = now + LOOK_AGAIN_S
        handed_back = 0
        for (batch_id, number), (at, published) in list(self._fed.items()):
            if now - at < OVERDUE_S or published > consumed:
                continue
            self._fed[batch_id, number] = now, published
            row = await database.read(manifest.segment_row, batch_id, number)
            over = row is None or (await database.read(batches.get, batch_id)).state in TERMINAL
            if row is None or over or await database.read(manifest.finished_within, row) >= row.jobs:
                del self._fed[batch_id, number]
            else:
                handed_back += await _segment(database, row)
        if handed_back:
            log.warning(
                "%d jobs were fed more than %g s ago and are in nobody's hands: fed again", handed_back, OVERDUE_S
            )
        return handed_back


async def _segment(database: Database, row: SegmentRow) -> int:
    if await database.read(manifest.finished_within, row) >= row.jobs:
        return 0
    payload = await database.read(manifest.payload, row.batch_id, row.number)
    keys = [JobKey(row.batch_id, unpack_line(line)[0]) for line in read_segment(payload)[: row.fed]]
    stranded = await database.read(due.stranded, keys)
    if stranded:
        await database.write(due.make_due, stranded, "reconciled")
    return len(stranded)
