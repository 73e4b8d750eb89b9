"""How a batch stands, for people: what is being called, what waits for another try, how fast it goes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, text

from broker.domain.attempt import AttemptState
from broker.store import manifest
from broker.store.segment import read_segment, unpack_line
from broker.store.sql import JsonRows, Sql, now
from broker.store.tables import attempts, due, elections, results, segments

RATE_OVER_ROWS = 1_000
LAST_OF = 2_000
"""Calls among which the latest of each account is looked for."""
_POSITIONS = JsonRows("positions", position="bigint")
_WITHOUT_RESULT = Sql(
    """
    select 1 from {positions} p where not exists (
      select 1 from results r where r.batch_id = :batch_id and r.position = p.position) limit 1
    """,
    _POSITIONS,
)


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


def unknown_calls(connection: Connection, batch_id: int) -> int:
    """Calls that ended without an answer; reads every attempt of the batch."""
    return connection.execute(
        select(func.count()).where(attempts.c.batch_id == batch_id, attempts.c.state == AttemptState.UNKNOWN)
    ).scalar_one()


def unfinished_on(connection: Connection, batch_id: int, routes: Collection[str]) -> bool:
    """Whether any job of these routes has no result. Cheap while some are unfed; else it unpacks their segments."""
    this = (segments.c.batch_id == batch_id, segments.c.route.in_(routes))
    if connection.execute(select(segments.c.number).where(*this, segments.c.fed < segments.c.jobs).limit(1)).first():
        return True
    # What is late in the batch is most likely to be unfinished.
    numbers = connection.execute(select(segments.c.number).where(*this).order_by(segments.c.number.desc())).scalars()
    return any(_unfinished(connection, batch_id, number) for number in numbers.all())


def _unfinished(connection: Connection, batch_id: int, number: int) -> bool:
    lines = read_segment(manifest.payload(connection, batch_id, number))
    positions = _POSITIONS.pack((unpack_line(line).position,) for line in lines)
    given = {"batch_id": batch_id, "positions": positions}
    return connection.execute(_WITHOUT_RESULT.on(connection), given).first() is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastCall:
    """How an account's latest call ended."""

    error_class: str | None
    """`None`: well."""
    ago_s: float


def last_calls(connection: Connection) -> dict[str, LastCall]:
    """The latest call of each account, among the calls for the last rows of the latest batch: a few are read."""
    key = (attempts.c.batch_id.desc(), attempts.c.position.desc(), attempts.c.number.desc())
    latest = select(attempts).order_by(*key).limit(LAST_OF)
    at = now(connection)
    ended = [row for row in connection.execute(latest) if row.finished_at is not None]
    return {
        row.account: LastCall(error_class=row.error_class, ago_s=at - row.finished_at)
        for row in sorted(ended, key=lambda row: (row.finished_at, row.batch_id, row.position))
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A role that one process of a fleet plays, and when it last said so."""

    holder: str
    seen_ago_s: float | None
    """`None`: it has resigned."""


def played(connection: Connection, role: str) -> Played | None:
    """Who plays a role, or played it last; `None` where nobody ever has."""
    row = connection.execute(select(elections).where(elections.c.role == role)).first()
    if row is None:
        return None
    return Played(holder=row.holder, seen_ago_s=now(connection) - row.renewed_at if row.renewed_at else None)


def _finished_at(connection: Connection, batch_id: int, seq: int) -> float | None:
    # `seq > 0` as text: what the partial index of the results is declared with.
    return connection.execute(
        select(results.c.finished_at).where(
            results.c.batch_id == batch_id, results.c.seq == seq, results.c.seq > text("0")
        )
    ).scalar_one_or_none()
