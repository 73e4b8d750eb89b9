"""Rows of a batch that ended badly, as a new batch that continues it: the same bodies under the same names.

The old batch keeps its results. The new one is `receiving` until all is in, and a run that was cut off goes on behind
its last stored segment: which rows belong to it was settled when it was opened.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import count

from broker.domain.batch import TERMINAL, BatchState
from broker.domain.loss import OnLoss
from broker.domain.result import ResultState
from broker.errors import CallerError
from broker.intake.jsonl import Row
from broker.intake.problems import ProblemCode
from broker.intake.segments import SegmentPacker
from broker.store import continuing, manifest
from broker.store.continuing import Predecessor, Successor, Wanted
from broker.store.engine import Database
from broker.store.manifest import NewBatch, SegmentRow
from broker.store.segment import SegmentDraft, read_segment, unpack_line

RETRYABLE = (ResultState.FAILED, ResultState.EXPIRED, ResultState.CANCELLED)
SEGMENTS_PER_COMMIT = 4


class NothingToRetry(CallerError):
    """The batch has no row that may be run again."""

    code = "nothing_to_retry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """The batch that continues another one."""

    batch_id: int
    rows: int
    """As many as were taken over now; none for a batch that was there already."""
    known: bool
    """It was asked for before."""
    may_grow: bool
    """The old batch still runs: rows that end badly from now on are in no retry yet."""


async def retry(
    database: Database,
    batch_id: int,
    states: Collection[ResultState],
    *,
    again: bool = False,
    packer: Callable[[OnLoss], SegmentPacker] = SegmentPacker,
) -> Retried:
    """Open a batch with the rows of this one that ended in these states, or find the one that was opened before.

    The caller holds the submission (`broker.store.submitting`, under `submission_id`). Raises `NoSuchBatch` and
    `NothingToRetry`.
    """
    old = await database.read(continuing.predecessor, batch_id)
    earlier = await _earlier(database, old, states)
    latest = earlier[-1] if earlier else None
    if latest is not None and latest.state is not BatchState.RECEIVING and not again:
        return _retried(old, latest.batch_id, 0, known=True)
    if latest is not None and latest.state is BatchState.RECEIVING:
        new_id, wanted = latest.batch_id, _wanted(states, int(latest.body_hash.rpartition(":")[2]))
    else:
        wanted = _wanted(states, old.seq)
        await _check_any(database, old, wanted)
        new_id = await _open(database, old, states, len(earlier) + 1)
    rows = await _Copy(database, old.batch_id, new_id, wanted, packer(old.on_loss)).run()
    await database.write(manifest.seal, new_id, rows)
    return _retried(old, new_id, rows, known=False)


def submission_id(batch_id: int, states: Collection[ResultState]) -> str:
    """What a retry is known by, without the number that `again` adds."""
    return f"retry:{batch_id}:{'+'.join(sorted(states))}"


def _retried(old: Predecessor, new_id: int, rows: int, *, known: bool) -> Retried:
    return Retried(batch_id=new_id, rows=rows, known=known, may_grow=old.state not in TERMINAL)


def _wanted(states: Collection[ResultState], seq: int) -> Wanted:
    return Wanted(states=frozenset(states), seq=seq, beyond_mending=tuple(ProblemCode))


async def _earlier(database: Database, old: Predecessor, states: Collection[ResultState]) -> Sequence[Successor]:
    """The retries of just these states, the latest last."""
    this = submission_id(old.batch_id, states)
    found = await database.read(continuing.successors, old.project, old.batch_id)
    return [successor for successor in found if successor.submission_id.rpartition("#")[0] == this]


async def _check_any(database: Database, old: Predecessor, wanted: Wanted) -> None:
    if await database.read(continuing.count, old.batch_id, wanted):
        return
    states = " or ".join(sorted(wanted.states))
    wrong = Wanted(states=wanted.states, seq=wanted.seq, beyond_mending=())
    invalid = await database.read(continuing.count, old.batch_id, wrong)
    if invalid:
        raise NothingToRetry(
            f"the {invalid} {states} rows of batch {old.batch_id} did not validate, and would not now: "
            f"`penstock results {old.batch_id}` says what is wrong with them; mend them and submit them as a new file"
        )
    raise NothingToRetry(f"batch {old.batch_id} has no {states} rows (it is {old.state}): there is nothing to retry")


async def _open(database: Database, old: Predecessor, states: Collection[ResultState], number: int) -> int:
    this = submission_id(old.batch_id, states)
    new = NewBatch(
        project=old.project,
        submission_id=f"{this}#{number}",
        body_hash=f"{this}:{old.seq}",
        dialect=old.dialect,
        source=old.source,
        tag=old.tag,
        weight=old.weight,
        continues=old.batch_id,
        on_loss=old.on_loss,
        use=old.use,
    )
    batch_id, _ = await database.write(manifest.open_batch, new)
    return batch_id


class _Copy:
    """Walks the old manifest and fills the new one; packs the same way each time."""

    def __init__(self, database: Database, old_id: int, new_id: int, wanted: Wanted, packer: SegmentPacker) -> None:
        self._database = database
        self._old_id = old_id
        self._new_id = new_id
        self._wanted = wanted
        self._positions = count()
        self._packer = packer
        self._drafts: list[SegmentDraft] = []
        self._number = 0
        """Of the next segment."""
        self._rows = 0

    async def run(self) -> int:
        """Copy all; returns the number of rows. They are numbered anew, in the order of the old segments."""
        stored = len(await self._database.read(manifest.segment_rows, self._new_id))
        for segment in await self._database.read(manifest.segment_rows, self._old_id):
            await self._take(segment)
            if len(self._drafts) >= SEGMENTS_PER_COMMIT:
                await self._store(stored)
        self._drafts.extend(self._packer.finish())
        await self._store(stored)
        return self._rows

    async def _take(self, segment: SegmentRow) -> None:
        payload = await self._database.read(manifest.payload, segment.batch_id, segment.number)
        jobs = await asyncio.to_thread(lambda: [unpack_line(line) for line in read_segment(payload)])
        positions = [job.position for job in jobs]
        chosen = await self._database.read(continuing.among, self._old_id, positions, self._wanted)
        rows = [
            Row(position=position, line=position + 1, custom_id=job.custom_id, endpoint=job.endpoint,
                model=segment.route, body=job.body)
            for job, position in zip((job for job in jobs if job.position in chosen), self._positions, strict=False)
        ]  # fmt: skip
        self._rows += len(rows)
        self._drafts.extend(await asyncio.to_thread(self._pack, rows))

    def _pack(self, rows: Sequence[Row]) -> list[SegmentDraft]:
        return [draft for row in rows for draft in self._packer.add(row)]

    async def _store(self, stored: int) -> None:
        """Store what is packed, but for what an earlier run has stored already."""
        drafts, self._drafts = self._drafts, []
        new = drafts[max(0, stored - self._number) :]
        first = self._number + len(drafts) - len(new)
        self._number += len(drafts)
        if new:
            await self._database.write(manifest.add_segments, self._new_id, first, new)
