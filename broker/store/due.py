"""Due rows: jobs to be fed again, and when."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from broker.domain.job import JobKey
from broker.store.sql import JsonRows, Sql

TAKEN_FOR_S = 60.0
"""A row that was taken but never claimed is due again after this; nothing is lost with a feeder."""

_KEYS = JsonRows("keys", batch_id="bigint", position="bigint")
_RUNNING = JsonRows("running", batch_id="bigint")
_TAKE = Sql(
    """
    update due set at = {now} + :taken_for, fed_at = {now}
    where (batch_id, position) in (
      select d.batch_id, d.position from due d
      where d.at <= (select {now}) and d.batch_id in (select r.batch_id from {running} r)
      order by d.at limit :most {skip_locked})
    returning batch_id, position
    """,
    _RUNNING,
)
_MAKE_DUE = Sql(
    """
    insert into due (batch_id, position, at, why) select k.batch_id, k.position, {now}, :why
    from {keys} k where not exists (
      select 1 from results r where r.batch_id = k.batch_id and r.position = k.position)
    order by k.batch_id, k.position
    on conflict (batch_id, position) do update set at = excluded.at, why = excluded.why, fed_at = null
    where due.fed_at is not null
    """,
    _KEYS,
)


def take_due(connection: Connection, batch_ids: Collection[int], most: int) -> list[JobKey]:
    """Take up to `most` due jobs of these batches, earliest first, for publication after the commit."""
    rows = connection.execute(
        _TAKE.on(connection),
        {"taken_for": TAKEN_FOR_S, "most": most, "running": _RUNNING.pack((batch_id,) for batch_id in batch_ids)},
    )
    return [JobKey(row.batch_id, row.position) for row in rows]


def make_due(connection: Connection, keys: Collection[JobKey], why: str) -> None:
    """Jobs to be fed again now, but for finished ones; a due row that was never taken keeps its time."""
    connection.execute(_MAKE_DUE.on(connection), {"keys": _KEYS.pack(set(keys)), "why": why})


def postpone(connection: Connection, keys: Collection[JobKey], for_s: float) -> None:
    """Due again in so many seconds: they were taken, but their queue has no room."""
    connection.execute(_POSTPONE.on(connection), {"keys": _KEYS.pack(keys), "for_s": for_s})


def untake(connection: Connection) -> None:
    """Everything that was taken and never claimed is due now: the queue it was published to is gone."""
    connection.execute(_UNTAKE.on(connection))


_POSTPONE = Sql(
    """
    update due set at = {now} + :for_s, fed_at = null
    where (batch_id, position) in (
      select d.batch_id, d.position from due d
      where (d.batch_id, d.position) in (select k.batch_id, k.position from {keys} k)
        and d.fed_at is not null {skip_locked})
    """,
    _KEYS,
)
_UNTAKE = Sql("update due set at = {now}, fed_at = null where fed_at is not null")


_STRANDED = Sql(
    """
    select k.batch_id, k.position from {keys} k
    where not exists (select 1 from results r where r.batch_id = k.batch_id and r.position = k.position)
      and not exists (select 1 from attempts a
        where a.batch_id = k.batch_id and a.position = k.position and a.finished_at is null)
      and not exists (select 1 from due d where d.batch_id = k.batch_id and d.position = k.position)
    """,
    _KEYS,
)


def stranded(connection: Connection, keys: Sequence[JobKey]) -> list[JobKey]:
    """Those of `keys` that nobody owns: no result, no open attempt, no due row."""
    rows = connection.execute(_STRANDED.on(connection), {"keys": _KEYS.pack(keys)})
    return [JobKey(row.batch_id, row.position) for row in rows]
