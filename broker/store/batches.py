"""Batches: reading them, and steering them."""

from sqlalchemy import Connection, Row, select, update

from broker.domain.batch import Batch, BatchState, Counts, moved
from broker.domain.form import BatchForm
from broker.domain.loss import OnLoss
from broker.domain.usage import Usage, UsageSource
from broker.errors import CallerError
from broker.store.tables import batches


class NoSuchBatch(CallerError):
    """No batch has this id."""

    code = "not_found"

    def __init__(self, batch_id: int) -> None:
        super().__init__(f"there is no batch {batch_id}; `penstock batches` lists them")


def get(connection: Connection, batch_id: int) -> Batch:
    """One batch; raises `NoSuchBatch`."""
    row = connection.execute(select(batches).where(batches.c.batch_id == batch_id)).first()
    if row is None:
        raise NoSuchBatch(batch_id)
    return _batch(row)


def newest(connection: Connection, most: int) -> list[Batch]:
    """Batches, the latest first."""
    return [_batch(row) for row in connection.execute(select(batches).order_by(batches.c.batch_id.desc()).limit(most))]


def in_state(connection: Connection, *states: BatchState) -> list[Batch]:
    """Batches in any of these states, in id order."""
    rows = connection.execute(select(batches).where(batches.c.state.in_(states)).order_by(batches.c.batch_id))
    return [_batch(row) for row in rows]


def move(connection: Connection, batch_id: int, to: BatchState) -> BatchState:
    """Move a batch's state if its table allows it; returns the state it has now.

    A plain update that never waits for recorders: it takes effect for every claim that starts after its commit.
    """
    current = get(connection, batch_id).state
    if current is to:
        return current
    moved(current, to)
    changed = connection.execute(
        update(batches).where(batches.c.batch_id == batch_id, batches.c.state == current).values(state=to)
    )
    return to if changed.rowcount else get(connection, batch_id).state


def write_to(connection: Connection, batch_id: int, output: str) -> None:
    """The results of this batch are written to that file."""
    connection.execute(update(batches).where(batches.c.batch_id == batch_id).values(output=output))


def _batch(row: Row[tuple[object, ...]]) -> Batch:
    return Batch(
        id=row.batch_id,
        project=row.project,
        tag=row.tag,
        state=BatchState(row.state),
        weight=row.weight,
        counts=Counts(
            total=row.total,
            fed=row.fed,
            succeeded=row.succeeded,
            failed=row.failed,
            cancelled=row.cancelled,
            expired=row.expired,
        ),
        usage=Usage(
            input_tokens=row.input_tokens,
            cache_read_tokens=row.cache_read_tokens,
            cache_write_tokens=row.cache_write_tokens,
            output_tokens=row.output_tokens,
            reasoning_tokens=row.reasoning_tokens,
            source=UsageSource.REPORTED,
        ),
        cost=row.cost,
        unpriced=row.unpriced,
        created_at=row.created_at,
        accepted_at=row.accepted_at,
        finished_at=row.finished_at,
        source=row.source,
        output=row.output,
        form=BatchForm(row.dialect),
        on_loss=OnLoss(row.on_loss),
        use=row.use,
        name=row.name,
        sealed=row.sealed,
        continues=row.continues,
    )
