"""Sums of what calls have used: by project, batch, account, and whatever else they are kept by.

Most sums come from the hourly roll-up, which is small however many calls there were. A batch's own sums are on the
batch. Only a batch together with what the roll-up splits by (an account, say) is added up from its attempts.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Integer, and_, case, cast, func, or_, select

from broker.domain.attempt import AttemptState
from broker.domain.money import ZERO
from broker.domain.totals import AttemptGroup, Dimension, Totals, UsageLine
from broker.domain.usage import UsageSource
from broker.store.tables import attempts, batches, usage_hourly

DAY_S = 86_400
_NOT_REPORTED = (AttemptState.OPEN, AttemptState.UNKNOWN)


_SUMS = tuple(Totals.__dataclass_fields__)
_ON_BATCH = frozenset({Dimension.BATCH, Dimension.PROJECT, Dimension.TAG})


def usage_by(connection: Connection, by: Sequence[Dimension]) -> list[UsageLine]:
    """Add up everything the database knows by these dimensions, in the order of their values."""
    unknown = _unknown_by(connection, by)
    found = {_keys(row, by): _totals(row) for row in _summed(connection, by)}
    return [
        UsageLine(keys=keys, totals=found.get(keys, Totals()), unknown=unknown[keys])
        for keys in sorted(found.keys() | unknown.keys())
    ]


def used_since(connection: Connection, accounts: Sequence[str], since: float) -> tuple[int, int]:
    """Calls that have reported, and their input and output tokens, since the hour of that moment."""
    row = connection.execute(
        select(
            func.coalesce(func.sum(usage_hourly.c.attempts), 0),
            func.coalesce(func.sum(usage_hourly.c.input_tokens + usage_hourly.c.output_tokens), 0),
        ).where(usage_hourly.c.account.in_(accounts), usage_hourly.c.hour >= since // 3600 * 3600)
    ).one()
    return int(row[0]), int(row[1])


def attempts_of(connection: Connection, batch_id: int) -> list[AttemptGroup]:
    """A batch's calls by account and by how they ended; reads every attempt of the batch."""
    head = (attempts.c.account, attempts.c.provider, attempts.c.state)
    rows = connection.execute(
        select(*head, func.count().label("count"), *_from_attempts())
        .where(attempts.c.batch_id == batch_id)
        .group_by(*head)
        .order_by(*head)
    )
    return [
        AttemptGroup(
            account=row.account,
            provider=row.provider,
            state=AttemptState(row.state),
            count=row[3],
            totals=_totals(row),
        )
        for row in rows
    ]


def _summed(connection: Connection, by: Sequence[Dimension]) -> Sequence[Any]:
    if Dimension.BATCH not in by:
        columns = [_hourly_column(dimension) for dimension in by]
        sums = [func.sum(usage_hourly.c[name]).label(name) for name in _SUMS]
        return connection.execute(select(*columns, *sums).group_by(*columns)).all() if columns else _whole(connection)
    if _ON_BATCH.issuperset(by):
        return connection.execute(
            select(*(_batch_column(dimension) for dimension in by), *(batches.c[name] for name in _SUMS)).where(
                batches.c.attempts > 0
            )
        ).all()
    columns = [_attempt_column(connection, dimension) for dimension in by]
    return connection.execute(
        select(*columns, *_from_attempts())
        .join(batches, batches.c.batch_id == attempts.c.batch_id)
        .where(attempts.c.state.not_in(_NOT_REPORTED))
        .group_by(*columns)
    ).all()


def _whole(connection: Connection) -> Sequence[Any]:
    """One line over everything, none where nothing was ever called."""
    sums = [func.sum(usage_hourly.c[name]).label(name) for name in _SUMS]
    return connection.execute(select(*sums).having(func.count() > 0)).all()


def _unknown_by(connection: Connection, by: Sequence[Dimension]) -> Counter[tuple[str | int, ...]]:
    columns = [_attempt_column(connection, dimension) for dimension in by]
    counted: Counter[tuple[str | int, ...]] = Counter()
    for row in connection.execute(
        select(*columns, func.count().label("calls"))
        .select_from(attempts.join(batches, batches.c.batch_id == attempts.c.batch_id))
        .where(attempts.c.state == AttemptState.UNKNOWN)
        .group_by(*columns)
        .having(func.count() > 0)
    ):
        counted[_keys(row, by)] = row.calls
    return counted


def _from_attempts() -> list[ColumnElement[Any]]:
    """The sums of a group of attempts, by the rule by which the roll-up adds: a call counts when it reports."""
    unpriced = and_(
        attempts.c.cost.is_(None),
        or_(
            attempts.c.usage_source != UsageSource.MISSING,
            attempts.c.state.in_((AttemptState.OK, AttemptState.DISCARDED)),
        ),
    )
    reported = attempts.c.state.not_in(_NOT_REPORTED)
    computed: dict[str, ColumnElement[Any]] = {
        "attempts": func.sum(case((reported, 1), else_=0)),
        "unpriced": func.sum(case((and_(reported, unpriced), 1), else_=0)),
    }
    plain: dict[str, ColumnElement[Any]] = {name: func.sum(attempts.c[name]) for name in _SUMS if name not in computed}
    columns = computed | plain
    return [columns[name].label(name) for name in _SUMS]


def _hourly_column(dimension: Dimension) -> ColumnElement[Any]:
    if dimension is Dimension.DAY:
        return (usage_hourly.c.hour - usage_hourly.c.hour % DAY_S).label("day")
    return usage_hourly.c[dimension]


def _batch_column(dimension: Dimension) -> ColumnElement[Any]:
    return batches.c.batch_id.label("batch") if dimension is Dimension.BATCH else batches.c[dimension]


def _attempt_column(connection: Connection, dimension: Dimension) -> ColumnElement[Any]:
    if dimension in _ON_BATCH:
        return _batch_column(dimension)
    if dimension is not Dimension.DAY:
        return attempts.c[dimension]
    days = attempts.c.finished_at / DAY_S
    # A cast cuts off on SQLite, which may lack floor(), and rounds on PostgreSQL.
    whole = cast(days, Integer) if connection.dialect.name == "sqlite" else cast(func.floor(days), BigInteger)
    return (whole * DAY_S).label("day")


def _keys(row: Any, by: Sequence[Dimension]) -> tuple[str | int, ...]:
    return tuple(
        datetime.fromtimestamp(value, UTC).date().isoformat() if dimension is Dimension.DAY else value
        for dimension, value in zip(by, row, strict=False)
    )


def _totals(row: Any) -> Totals:
    """The sums of one row; PostgreSQL adds whole numbers up as numeric."""
    counts = {name: int(getattr(row, name) or 0) for name in _SUMS if name != "cost"}
    return Totals(**counts, cost=row.cost or ZERO)
