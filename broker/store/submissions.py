"""Submissions that come message by message: each counts once, and batches stay open for more.

Lock order: the submission's own row, then the batch's. The row lock of a batch is what record and append share, so
positions of concurrent submissions never collide, and a batch is not completed while jobs are being added.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, Connection, Double, func, literal, select, update

from broker.domain.batch import BatchState
from broker.domain.loss import OnLoss
from broker.errors import CallerError
from broker.store import manifest
from broker.store.facts import BatchFacts
from broker.store.plan import Plan, Sums, batch_row
from broker.store.record import lock_batches, write_plan
from broker.store.segment import SegmentDraft
from broker.store.sql import now, upsert
from broker.store.tables import batches, projects, segments, submissions

NO_BATCH = 0
"""Of a submission that concerns no single batch."""
_MAY_GROW = (BatchState.RUNNING, BatchState.PAUSED)


class IdConflict(CallerError):
    """The same submission id was used before, with another body."""

    code = "id_conflict"

    def __init__(self) -> None:
        super().__init__("this message id was used before with another body; take a new id for each new message")


class BatchSealed(CallerError):
    """No more jobs are taken for a batch."""

    code = "batch_sealed"

    def __init__(self, name: str, state: BatchState) -> None:
        how = "sealed" if state in _MAY_GROW else str(state)
        super().__init__(f"batch {name!r} is {how} and takes no more jobs; submit under another batch name")


class BatchDiffers(CallerError):
    """Jobs for a batch of another form, another use, or another answer to losses."""

    code = "batch_differs"

    def __init__(self, name: str, what: str, has: str | None, asked: str | None) -> None:
        super().__init__(
            f"batch {name!r} has {what} {has or 'none'}, and the message says {asked or 'none'}; "
            "say the same, or submit under another batch name"
        )


class NoBatchOfThatName(CallerError):
    """A project has no batch of this name."""

    code = "not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no batch {name!r} in this project; its first jobs open it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A message that counts once, whatever is delivered how often."""

    project: str
    submission_id: str
    """The producer's own, unique in the project."""
    body_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a submission did: the batch it concerns, or `NO_BATCH`, and the reply that every repeat will get."""

    batch_id: int
    reply: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBatch:
    """What a batch is opened with, by the first jobs that name it."""

    project: str
    name: str
    dialect: str
    source: str
    tag: str = ""
    weight: float = 1.0
    on_loss: OnLoss = OnLoss.FAIL
    use: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """Jobs that are in the manifest now."""

    batch_id: int
    first_position: int
    jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A batch that takes no more jobs."""

    batch_id: int
    total: int


def once(connection: Connection, submission: Submission, act: Callable[[], Done]) -> str:
    """Act, and keep the reply, in one transaction; or return the reply that the same submission got before.

    A twin that is under way in another transaction is waited for. Raises `IdConflict`, and whatever `act` raises:
    then nothing was done, and the id is free.
    """
    fresh = connection.execute(
        upsert(connection, submissions)
        .values(
            project=submission.project,
            submission_id=submission.submission_id,
            body_hash=submission.body_hash,
            batch_id=NO_BATCH,
            created_at=now(connection),
        )
        .on_conflict_do_nothing()
        .returning(submissions.c.submission_id)
    ).first()
    if fresh is None:
        reply = first_reply(connection, submission)
        if reply is None:
            raise IdConflict  # there was one, and it is gone: whoever forgets submissions has just forgotten this one
        return reply
    done = act()
    connection.execute(update(submissions).where(*_this(submission)).values(batch_id=done.batch_id, reply=done.reply))
    return done.reply


def first_reply(connection: Connection, submission: Submission) -> str | None:
    """The reply to an earlier submission of this id, if there was one; raises `IdConflict`."""
    known = connection.execute(select(submissions.c.body_hash, submissions.c.reply).where(*_this(submission))).first()
    if known is None:
        return None
    if known.body_hash != submission.body_hash or known.reply is None:
        raise IdConflict
    return str(known.reply)


def append(
    connection: Connection,
    submission: Submission,
    batch: OpenBatch,
    pack: Callable[[int], Sequence[SegmentDraft]],
    reply: Callable[[Appended], str],
    *,
    last: bool = False,
    seal_after_s: float | None = None,
) -> str:
    """Add jobs behind those that a batch has, opening it on first use, once.

    Raises `BatchSealed`, `BatchDiffers` and `IdConflict`.

    `pack` is given the first free position. `last`: the batch is sealed with them. `seal_after_s`: seal it when no
    more come for so long; the time starts again with every submission, also with those that do not name one.
    """

    def act() -> Done:
        added = _append(connection, batch, pack, seal_after_s)
        if last:
            _seal(connection, added.batch_id)
        return Done(batch_id=added.batch_id, reply=reply(added))

    return once(connection, submission, act)


def seal(connection: Connection, submission: Submission, name: str, reply: Callable[[Sealed], str]) -> str:
    """No more jobs come: a batch whose jobs are all finished completes here. One that was sealed stays as it is.

    Raises `NoBatchOfThatName` and `IdConflict`.
    """

    def act() -> Done:
        batch_id = find(connection, submission.project, name)
        facts = _seal(connection, batch_id)
        return Done(batch_id=batch_id, reply=reply(Sealed(batch_id=batch_id, total=facts.total)))

    return once(connection, submission, act)


def seal_due(connection: Connection) -> list[int]:
    """Seal the batches whose time has come; returns which."""
    # The condition is looked at again behind the lock: a submission may just have moved the time on
    ripe = connection.execute(
        select(batches.c.batch_id)
        .where(batches.c.sealed.is_(False), batches.c.seal_at <= now(connection))
        .order_by(batches.c.batch_id)
        .with_for_update(key_share=True)
    )
    batch_ids = [row.batch_id for row in ripe]
    for batch_id in batch_ids:
        _seal(connection, batch_id)
    return batch_ids


def find(connection: Connection, project: str, name: str) -> int:
    """The batch of this name; raises `NoBatchOfThatName`."""
    found = _find(connection, project, name)
    if found is None:
        raise NoBatchOfThatName(name)
    return found


def _find(connection: Connection, project: str, name: str) -> int | None:
    return connection.execute(
        select(batches.c.batch_id).where(batches.c.project == project, batches.c.name == name)
    ).scalar_one_or_none()


def _opened(connection: Connection, batch: OpenBatch) -> int:
    found = _find(connection, batch.project, batch.name)
    if found is not None:
        return found
    at = now(connection)
    connection.execute(upsert(connection, projects).values(name=batch.project, created_at=at).on_conflict_do_nothing())
    connection.execute(
        upsert(connection, batches)
        .values(
            project=batch.project,
            name=batch.name,
            tag=batch.tag,
            dialect=batch.dialect,
            state=BatchState.RUNNING,
            weight=batch.weight,
            on_loss=batch.on_loss,
            use=batch.use,
            source=batch.source,
            sealed=False,
            created_at=at,
            accepted_at=at,
        )
        .on_conflict_do_nothing()  # somebody else opened it just now
    )
    return find(connection, batch.project, batch.name)


def _check_same(connection: Connection, batch_id: int, batch: OpenBatch) -> None:
    """All rows of a batch have one form, one use and one rule for losses, whoever submits them."""
    told = {"dialect": batch.dialect, "on_loss": str(batch.on_loss), "use": batch.use}
    row = connection.execute(select(*(batches.c[what] for what in told)).where(batches.c.batch_id == batch_id)).one()
    for (what, asked), has in zip(told.items(), row, strict=True):
        if asked != has:
            raise BatchDiffers(batch.name, what, has, asked)


def _append(
    connection: Connection,
    batch: OpenBatch,
    pack: Callable[[int], Sequence[SegmentDraft]],
    seal_after_s: float | None,
) -> Appended:
    batch_id = _opened(connection, batch)
    facts = lock_batches(connection, [batch_id])[batch_id]
    if facts.sealed or facts.state not in _MAY_GROW:
        raise BatchSealed(batch.name, facts.state)
    _check_same(connection, batch_id, batch)
    drafts = pack(facts.total)
    jobs = sum(draft.count for draft in drafts)
    latest = connection.execute(
        select(func.max(segments.c.number)).where(segments.c.batch_id == batch_id)
    ).scalar_one_or_none()
    manifest.add_segments(connection, batch_id, 0 if latest is None else latest + 1, drafts)
    agreed = batches.c.seal_after_s if seal_after_s is None else literal(seal_after_s, Double)
    connection.execute(
        update(batches)
        .where(batches.c.batch_id == batch_id)
        .values(total=facts.total + jobs, seal_after_s=agreed, seal_at=now(connection) + agreed)
    )
    return Appended(batch_id=batch_id, first_position=facts.total, jobs=jobs)


def _seal(connection: Connection, batch_id: int) -> BatchFacts:
    facts = lock_batches(connection, [batch_id])[batch_id]
    if not facts.sealed:
        facts = replace(facts, sealed=True)
        connection.execute(update(batches).where(batches.c.batch_id == batch_id).values(sealed=True, seal_at=None))
        row = batch_row(batch_id, facts, {}, Sums(), now(connection))
        write_plan(connection, Plan(batches=[row]))
    return facts


def _this(submission: Submission) -> tuple[ColumnElement[bool], ...]:
    return (
        submissions.c.project == submission.project,
        submissions.c.submission_id == submission.submission_id,
    )
