"""Reconciliation: jobs that were fed, and that nobody owns any more, are handed back.

A job is owned by its result, its open attempt, its due row, or by the queue it was published to. After a
restart, or after the queue was lost, what is left of the fed jobs has no owner.
"""

from collections.abc import Collection

from broker.domain.batch import BatchState
from broker.domain.job import JobKey
from broker.store import batches, due, manifest
from broker.store.engine import Database
from broker.store.manifest import SegmentRow
from broker.store.segment import read_segment, unpack_line


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


async def _segment(database: Database, row: SegmentRow) -> int:
    if await database.read(manifest.finished_within, row) >= row.jobs:
        return 0
    payload = await database.read(manifest.payload, row.batch_id, row.number)
    keys = [JobKey(row.batch_id, unpack_line(line)[0]) for line in read_segment(payload)[: row.fed]]
    stranded = await database.read(due.stranded, keys)
    if stranded:
        await database.write(due.make_due, stranded, "reconciled")
    return len(stranded)
