"""A batch that runs rows of another one again: which rows those are, and where they stand in its manifest."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from broker.domain.batch import BatchState
from broker.domain.loss import OnLoss
from broker.domain.result import ResultState
from broker.store.batches import NoSuchBatch
from broker.store.tables import batches, results, submissions


@dataclass(frozen=True, slots=True, kw_only=True)
class Predecessor:
    """The batch that is continued: what its successor inherits, and how many results it has by now."""

    batch_id: int
    state: BatchState
    project: str
    tag: str
    weight: float
    dialect: str
    source: str
    on_loss: OnLoss
    use: str | None
    seq: int
    """Of its last result: later ones are not looked at, so that the same rows are found again after a cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which results are run again."""

    states: Collection[ResultState]
    seq: int
    """The last result that counts."""
    beyond_mending: Collection[str]
    """Error codes of rows that were never called because they are wrong: they would only be wrong again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Successor:
    """A batch that continues another one."""

    batch_id: int
    submission_id: str
    body_hash: str
    state: BatchState


def predecessor(connection: Connection, batch_id: int) -> Predecessor:
    """Look at a batch that is to be continued; raises `NoSuchBatch`."""
    row = connection.execute(select(batches).where(batches.c.batch_id == batch_id)).first()
    if row is None:
        raise NoSuchBatch(batch_id)
    return Predecessor(
        batch_id=batch_id,
        state=BatchState(row.state),
        project=row.project,
        tag=row.tag,
        weight=row.weight,
        dialect=row.dialect,
        source=row.source,
        on_loss=OnLoss(row.on_loss),
        use=row.use,
        seq=row.succeeded + row.failed + row.cancelled + row.expired,
    )


def successors(connection: Connection, project: str, batch_id: int) -> list[Successor]:
    """The batches that continue this one, in the order in which they were opened."""
    rows = connection.execute(
        select(batches.c.batch_id, batches.c.state, submissions.c.submission_id, submissions.c.body_hash)
        .join(submissions, submissions.c.batch_id == batches.c.batch_id)
        .where(batches.c.project == project, batches.c.continues == batch_id)
        .order_by(batches.c.batch_id)
    )
    return [
        Successor(
            batch_id=row.batch_id,
            submission_id=row.submission_id,
            body_hash=row.body_hash,
            state=BatchState(row.state),
        )
        for row in rows
    ]


def count(connection: Connection, batch_id: int, wanted: Wanted) -> int:
    """How many rows of the batch are to be run again. Reads all its results."""
    return connection.execute(
        select(func.count()).select_from(results).where(results.c.batch_id == batch_id, _qualifies(wanted))
    ).scalar_one()


def among(connection: Connection, batch_id: int, positions: Collection[int], wanted: Wanted) -> frozenset[int]:
    """Those of these rows (of one segment) that are to be run again."""
    found = connection.execute(
        select(results.c.position).where(
            results.c.batch_id == batch_id, results.c.position.in_(positions), _qualifies(wanted)
        )
    )
    return frozenset(found.scalars())


def _qualifies(wanted: Wanted) -> ColumnElement[bool]:
    wrong = and_(results.c.attempts == 0, results.c.error_code.in_(wanted.beyond_mending))
    return and_(
        results.c.state.in_(wanted.states),
        results.c.seq <= wanted.seq,
        or_(results.c.error_code.is_(None), ~wrong),
    )
