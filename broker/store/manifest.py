"""The manifest: what has been accepted, in segments, and how far it was fed."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from broker.domain.batch import BatchState, moved
from broker.domain.job import JobKey
from broker.domain.loss import OnLoss
from broker.errors import CallerError
from broker.store.segment import SegmentDraft, read_segment, unpack_line
from broker.store.sql import now
from broker.store.tables import batches, due, projects, results, segments, submissions


class NameTaken(CallerError):
    """Another batch of the project has this name."""

    code = "name_taken"

    def __init__(self, name: str, batch_id: int) -> None:
        super().__init__(f"the name {name} belongs to batch {batch_id}; choose another one")
        self.batch_id = batch_id


class SubmissionConflict(CallerError):
    """The same submission id was used before, with another body."""

    code = "id_conflict"

    def __init__(self, batch_id: int) -> None:
        super().__init__(f"this submission id belongs to batch {batch_id}, which has another input")
        self.batch_id = batch_id


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """What a batch is opened with."""

    project: str
    submission_id: str
    body_hash: str
    dialect: str
    """How its rows are written, and its result lines: `openai`, `anthropic` or `gemini`."""
    source: str
    output: str | None = None
    tag: str = ""
    weight: float = 1.0
    name: str | None = None
    continues: int | None = None
    on_loss: OnLoss = OnLoss.FAIL
    use: str | None = None
    """What it is for: accounts with a licence for just that serve it, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRow:
    """A segment without its payload."""

    batch_id: int
    number: int
    route: str
    first_position: int
    last_position: int
    jobs: int
    fed: int


_HEAD = (
    segments.c.batch_id,
    segments.c.number,
    segments.c.route,
    segments.c.first_position,
    segments.c.last_position,
    segments.c.jobs,
    segments.c.fed,
)


_REPLACEMENT = "\x1f(replacement)"
"""Marks the submission id of a batch that is to replace another one, until it is sealed; no producer's id ends so."""


def open_batch(connection: Connection, new: NewBatch, *, replace: bool = False) -> tuple[int, BatchState]:
    """Open a batch in state `receiving`, or find the one that this very submission opened.

    Raises `SubmissionConflict` when the submission id was used with another body, unless `replace`: then a new batch
    is opened, and the id passes to it once it is sealed. The old one keeps its results. Raises `NameTaken`.
    """
    if not connection.execute(select(projects.c.name).where(projects.c.name == new.project)).first():
        connection.execute(insert(projects).values(name=new.project, created_at=now(connection)))
    this = (submissions.c.project == new.project, submissions.c.submission_id == new.submission_id)
    known = connection.execute(select(submissions).where(*this)).first()
    if known and not replace:
        if known.body_hash != new.body_hash:
            raise SubmissionConflict(known.batch_id)
        state = connection.execute(select(batches.c.state).where(batches.c.batch_id == known.batch_id)).scalar_one()
        return known.batch_id, BatchState(state)
    submission_id = new.submission_id
    if known:
        submission_id += _REPLACEMENT
        stale = _owner(connection, new.project, submission_id)
        if stale is not None:
            _let_go(connection, stale)  # a replacement whose intake was cut off, and perhaps cancelled since
    if new.name is not None:
        _check_free(connection, new.project, new.name)
    at = now(connection)
    batch_id = connection.execute(
        insert(batches)
        .values(
            project=new.project,
            tag=new.tag,
            dialect=new.dialect,
            state=BatchState.RECEIVING,
            weight=new.weight,
            source=new.source,
            output=new.output,
            name=new.name,
            continues=new.continues,
            on_loss=new.on_loss,
            use=new.use,
            created_at=at,
        )
        .returning(batches.c.batch_id)
    ).scalar_one()
    connection.execute(
        insert(submissions).values(
            project=new.project,
            submission_id=submission_id,
            body_hash=new.body_hash,
            batch_id=batch_id,
            created_at=at,
        )
    )
    return int(batch_id), BatchState.RECEIVING


def _check_free(connection: Connection, project: str, name: str) -> None:
    owner = connection.execute(
        select(batches.c.batch_id).where(batches.c.project == project, batches.c.name == name)
    ).scalar_one_or_none()
    if owner is not None:
        raise NameTaken(name, owner)


def _owner(connection: Connection, project: str, submission_id: str) -> int | None:
    return connection.execute(
        select(submissions.c.batch_id).where(
            submissions.c.project == project, submissions.c.submission_id == submission_id
        )
    ).scalar_one_or_none()


def _take_over(connection: Connection, batch_id: int) -> None:
    """A replacement that is complete takes the submission id from the batch that it replaces."""
    mine = connection.execute(select(submissions).where(submissions.c.batch_id == batch_id)).first()
    if mine is None or not mine.submission_id.endswith(_REPLACEMENT):
        return
    submission_id = mine.submission_id.removesuffix(_REPLACEMENT)
    old = _owner(connection, mine.project, submission_id)
    if old is not None:
        _let_go(connection, old)
    connection.execute(
        update(submissions).where(submissions.c.batch_id == batch_id).values(submission_id=submission_id)
    )


def _let_go(connection: Connection, batch_id: int) -> None:
    """A batch that nobody can reach any more: what it has is kept, what it has not is not run."""
    state = BatchState(connection.execute(select(batches.c.state).where(batches.c.batch_id == batch_id)).scalar_one())
    if state is BatchState.RECEIVING:
        discard(connection, batch_id)
    elif state in (BatchState.RUNNING, BatchState.PAUSED):
        moved(state, BatchState.CANCELLING)
        connection.execute(update(batches).where(batches.c.batch_id == batch_id).values(state=BatchState.CANCELLING))
    connection.execute(delete(submissions).where(submissions.c.batch_id == batch_id))


def add_segments(connection: Connection, batch_id: int, first_number: int, drafts: Sequence[SegmentDraft]) -> None:
    """Append segments, numbered from `first_number` on."""
    connection.execute(
        insert(segments),
        [
            {
                "batch_id": batch_id,
                "number": number,
                "route": draft.route,
                "first_position": draft.first_position,
                "last_position": draft.last_position,
                "jobs": draft.count,
                "payload": draft.payload,
            }
            for number, draft in enumerate(drafts, first_number)
        ],
    )


def seal(connection: Connection, batch_id: int, total: int) -> BatchState:
    """All is in: the batch is accepted and may run. One whose rows all failed already is complete."""
    row = connection.execute(
        select(batches.c.state, batches.c.failed).where(batches.c.batch_id == batch_id).with_for_update()
    ).one()
    _take_over(connection, batch_id)
    at = now(connection)
    state = moved(BatchState(row.state), BatchState.COMPLETED if row.failed >= total else BatchState.RUNNING)
    connection.execute(
        update(batches)
        .where(batches.c.batch_id == batch_id)
        .values(state=state, total=total, accepted_at=at, finished_at=at if state is BatchState.COMPLETED else None)
    )
    return state


def discard(connection: Connection, batch_id: int) -> None:
    """Forget a batch that never ran: its input was refused, or has to be read again from the start."""
    state = connection.execute(select(batches.c.state).where(batches.c.batch_id == batch_id)).scalar_one()
    moved(BatchState(state), BatchState.FAILED)
    for table in (segments, results, due, submissions, batches):
        connection.execute(delete(table).where(table.c.batch_id == batch_id))


def segment_rows(connection: Connection, batch_id: int) -> list[SegmentRow]:
    """All segments of a batch, in their order, without payloads."""
    rows = connection.execute(select(*_HEAD).where(segments.c.batch_id == batch_id).order_by(segments.c.number))
    return [_segment_row(row) for row in rows]


def segment_row(connection: Connection, batch_id: int, number: int) -> SegmentRow | None:
    """One segment without its payload, if it is there."""
    row = connection.execute(select(*_HEAD).where(segments.c.batch_id == batch_id, segments.c.number == number)).first()
    return _segment_row(row) if row else None


def next_unfed(connection: Connection, batch_id: int, route: str, behind: int) -> SegmentRow | None:
    """The first segment of this route behind segment `behind` with jobs that were never fed."""
    row = connection.execute(
        select(*_HEAD)
        .where(
            segments.c.batch_id == batch_id,
            segments.c.number > behind,
            segments.c.route == route,
            segments.c.fed < segments.c.jobs,
        )
        .order_by(segments.c.number)
        .limit(1)
    ).first()
    return _segment_row(row) if row else None


def unfed_routes(connection: Connection) -> list[tuple[int, str, int]]:
    """Batch, route and number of jobs still to be fed, over all batches that may run."""
    rows = connection.execute(
        select(segments.c.batch_id, segments.c.route, func.sum(segments.c.jobs - segments.c.fed).label("unfed"))
        .join(batches, batches.c.batch_id == segments.c.batch_id)
        .where(batches.c.state == BatchState.RUNNING, segments.c.fed < segments.c.jobs)
        .group_by(segments.c.batch_id, segments.c.route)
        .order_by(segments.c.batch_id, segments.c.route)
    )
    return [(row.batch_id, row.route, int(row.unfed)) for row in rows]


def payload(connection: Connection, batch_id: int, number: int) -> bytes:
    """The compressed lines of one segment."""
    return bytes(
        connection.execute(
            select(segments.c.payload).where(segments.c.batch_id == batch_id, segments.c.number == number)
        ).scalar_one()
    )


def segments_with(connection: Connection, batch_id: int, position: int) -> list[SegmentRow]:
    """The segments whose span holds this position: one, or one per route of a mixed batch."""
    rows = connection.execute(
        select(*_HEAD)
        .where(
            segments.c.batch_id == batch_id,
            segments.c.first_position <= position,
            segments.c.last_position >= position,
        )
        .order_by(segments.c.number)
    )
    return [_segment_row(row) for row in rows]


def advance(connection: Connection, cursors: Iterable[tuple[int, int, int]]) -> None:
    """Move feed cursors (batch, segment, jobs fed), forward only."""
    for batch_id, number, fed in sorted(cursors):  # batches in id order, as everywhere
        this = (segments.c.batch_id == batch_id, segments.c.number == number)
        before = connection.execute(select(segments.c.fed).where(*this)).scalar_one()
        if fed > before:
            connection.execute(update(segments).where(*this).values(fed=fed))
            connection.execute(
                update(batches).where(batches.c.batch_id == batch_id).values(fed=batches.c.fed + (fed - before))
            )


def custom_ids(connection: Connection, keys: Sequence[JobKey]) -> dict[JobKey, str]:
    """The producer's names of these jobs, read from their segments."""
    wanted: dict[int, set[int]] = defaultdict(set)
    for key in keys:
        wanted[key.batch_id].add(key.position)
    found: dict[JobKey, str] = {}
    for batch_id, positions in wanted.items():
        for row in segment_rows(connection, batch_id):
            if not any(row.first_position <= position <= row.last_position for position in positions):
                continue
            for line in read_segment(payload(connection, batch_id, row.number)):
                job = unpack_line(line)
                if job.position in positions:
                    found[JobKey(batch_id, job.position)] = job.custom_id
    return found


def _segment_row(row: "Row[*tuple[Any, ...]]") -> SegmentRow:
    return SegmentRow(
        batch_id=row.batch_id,
        number=row.number,
        route=row.route,
        first_position=row.first_position,
        last_position=row.last_position,
        jobs=row.jobs,
        fed=row.fed,
    )


def finished_within(connection: Connection, row: SegmentRow) -> int:
    """Results in a segment's span: as many as its jobs when all are finished (and when no other route shares it)."""
    if row.last_position - row.first_position + 1 != row.jobs:
        return 0
    return connection.execute(
        select(func.count())
        .select_from(results)
        .where(
            results.c.batch_id == row.batch_id,
            results.c.position >= row.first_position,
            results.c.position <= row.last_position,
        )
    ).scalar_one()


def routes(connection: Connection, batch_id: int) -> list[str]:
    """The routes that a batch's jobs take."""
    return list(
        connection.execute(select(segments.c.route).where(segments.c.batch_id == batch_id).distinct()).scalars()
    )


def submitted(connection: Connection, project: str, submission_id: str) -> int | None:
    """The batch that a submission made, if there was one."""
    return _owner(connection, project, submission_id)
