"""Results that no attempt brings: rows that did not validate, and the sweep of a cancelled batch."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from broker.domain.batch import BatchState
from broker.domain.job import JobKey
from broker.domain.result import ResultState
from broker.store import batches, manifest
from broker.store.facts import BatchFacts
from broker.store.plan import Plan, Sums, batch_row
from broker.store.planned import Row
from broker.store.record import lock_batches, write_plan
from broker.store.segment import read_segment, unpack_line
from broker.store.sql import JsonRows, Sql, now
from broker.store.tables import results


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The end of a job that was never called, or not again."""

    position: int
    custom_id: str | None
    state: ResultState
    error_code: str
    error_message: str


_KEYS = JsonRows("keys", batch_id="bigint", position="bigint")
_UNFINISHED = Sql(
    """
    select k.batch_id, k.position from {keys} k
    where not exists (select 1 from results r where r.batch_id = k.batch_id and r.position = k.position)
      and not exists (select 1 from attempts a
        where a.batch_id = k.batch_id and a.position = k.position and a.finished_at is null)
    """,
    _KEYS,
)


def finish(connection: Connection, batch_id: int, ends: Sequence[Finish]) -> int:
    """Finish those of these jobs that have no result and no call in flight; returns how many."""
    facts = lock_batches(connection, [batch_id], barrier=True)[batch_id]
    return _finish(connection, batch_id, facts, ends)


def _finish(connection: Connection, batch_id: int, facts: BatchFacts, ends: Sequence[Finish]) -> int:
    keys = [JobKey(batch_id, end.position) for end in ends]
    rows = connection.execute(_UNFINISHED.on(connection), {"keys": _KEYS.pack(keys)})
    unfinished = {JobKey(row.batch_id, row.position) for row in rows}
    at = now(connection)
    written: list[Row] = []
    counts = dict.fromkeys(ResultState, 0)
    for end, key in zip(ends, keys, strict=True):
        if key in unfinished:
            counts[end.state] += 1
            written.append(_row(key, end, facts.finished + len(written) + 1, at))
    row = batch_row(batch_id, facts, counts, Sums(), at)
    write_plan(
        connection, Plan(results=written, no_parts=sorted(unfinished), not_due=sorted(unfinished), batches=[row])
    )
    return len(written)


def _row(key: JobKey, end: Finish, seq: int, at: float) -> Row:
    return dict.fromkeys(results.c.keys()) | {
        "batch_id": key.batch_id,
        "position": key.position,
        "seq": seq,
        "custom_id": end.custom_id,
        "state": end.state,
        "error_code": end.error_code,
        "error_message": end.error_message,
        "attempts": 0,
        "finished_at": at,
    }


def sweep(connection: Connection, batch_id: int, segment: int) -> int:
    """Give the jobs of one segment of a cancelled batch their result, but for calls in flight.

    Call it for every segment, and again for the last few until the batch has ended: calls in flight still report.
    """
    if batches.get(connection, batch_id).state is not BatchState.CANCELLING:
        return 0
    lines = read_segment(manifest.payload(connection, batch_id, segment))
    ends = [
        Finish(
            position=job.position,
            custom_id=job.custom_id,
            state=ResultState.CANCELLED,
            error_code="batch_cancelled",
            error_message="The batch was cancelled before this request was run.",
        )
        for job in map(unpack_line, lines)
    ]
    return finish(connection, batch_id, ends)
