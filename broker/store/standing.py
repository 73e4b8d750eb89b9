"""How a batch stands, for people: what is being called, what waits for another try, how fast it goes."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, text

from broker.store.sql import now
from broker.store.tables import attempts, due, results

RATE_OVER_ROWS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A batch at this moment."""

    in_flight: int
    """Calls claimed and not reported. Without a process these are calls of one that died."""
    retrying: Mapping[str, int]
    """Jobs that wait for another try, by why."""
    next_try_in_s: float | None
    """Until the first of them is due; zero or below: now."""
    rows_per_s: float | None
    """Over the last thousand results, up to now; `None` before the first."""
    last_result_at: float | None
    """Seconds since the epoch, on the database's clock, as is `at`."""
    at: float


def standing(connection: Connection, batch_id: int, finished: int) -> Standing:
    """Look at a batch with so many results. A few rows are read, whatever its size."""
    at = now(connection)
    in_flight = connection.execute(
        select(func.count()).where(attempts.c.batch_id == batch_id, attempts.c.finished_at.is_(None))
    ).scalar_one()
    waiting = connection.execute(
        select(due.c.why, func.count().label("jobs"), func.min(due.c.at).label("first"))
        .where(due.c.batch_id == batch_id)
        .group_by(due.c.why)
        .order_by(func.count().desc())
    ).all()
    last = _finished_at(connection, batch_id, finished)
    earlier = max(1, finished - RATE_OVER_ROWS)
    since = _finished_at(connection, batch_id, earlier)
    return Standing(
        in_flight=in_flight,
        retrying={row.why: row.jobs for row in waiting},
        next_try_in_s=min((row.first for row in waiting), default=at) - at if waiting else None,
        rows_per_s=(finished - earlier) / (at - since) if since is not None and at > since else None,
        last_result_at=last,
        at=at,
    )


def _finished_at(connection: Connection, batch_id: int, seq: int) -> float | None:
    # `seq > 0` as text: what the partial index of the results is declared with.
    return connection.execute(
        select(results.c.finished_at).where(
            results.c.batch_id == batch_id, results.c.seq == seq, results.c.seq > text("0")
        )
    ).scalar_one_or_none()
