"""Worker processes: a new id per process start, a counter that shows life, and what a dead one leaves."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from broker.domain.attempt import AttemptState, CallError, ErrorClass, Scope
from broker.domain.job import JobKey
from broker.domain.report import Again, Conclusion, Report
from broker.domain.result import ResultState
from broker.store.claim import ALONE_AFTER
from broker.store.manifest import custom_ids
from broker.store.record import lock_batches, record
from broker.store.sql import JsonRows, Sql, now, upsert
from broker.store.tables import attempts, workers

DEATHS_ALLOWED = 5
"""Two deaths among others, then three alone: the job ends as `worker_crash`."""
_CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerBeat:
    """A worker's life sign: what the reaper compares between two reads of its own."""

    worker_id: str
    beats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What a worker tells with its life sign."""

    in_flight: int = 0
    slots: int | None = None
    """Calls that may be in flight."""
    waits_for: str | None = None
    """What its next call waits for."""
    busy: float | None = None
    """The share of one CPU that its process has used of late; 1 is all of it."""


def register(connection: Connection, worker_id: str, account: str) -> None:
    """Announce a new process; announcing it twice changes nothing."""
    at = now(connection)
    row = upsert(connection, workers).values(worker_id=worker_id, account=account, started_at=at, heartbeat=at, beats=0)
    connection.execute(row.on_conflict_do_nothing())


def beat(connection: Connection, worker_id: str, signs: Signs) -> None:
    """Show life; committed when this returns. One that was taken for dead is alive again."""
    connection.execute(
        update(workers)
        .where(workers.c.worker_id == worker_id)
        .values(
            heartbeat=now(connection),
            beats=workers.c.beats + 1,
            in_flight=signs.in_flight,
            slots=signs.slots,
            waits_for=signs.waits_for,
            busy=signs.busy,
            stopped_at=None,
        )
    )


def stop(connection: Connection, worker_id: str) -> None:
    """Say goodbye: nothing of this worker is open any more, or it may be reaped at once."""
    connection.execute(update(workers).where(workers.c.worker_id == worker_id).values(stopped_at=now(connection)))


def beats(connection: Connection) -> list[WorkerBeat]:
    """Every worker that has not said goodbye."""
    rows = connection.execute(select(workers.c.worker_id, workers.c.beats).where(workers.c.stopped_at.is_(None)))
    return [WorkerBeat(worker_id=row.worker_id, beats=row.beats) for row in rows]


def condemn(connection: Connection, still_at: Mapping[str, int]) -> None:
    """Take these workers for dead, but for those whose counter has moved on: from now on they claim nothing."""
    at = now(connection)
    for worker_id, beats_seen in sorted(still_at.items()):
        connection.execute(
            update(workers).where(workers.c.worker_id == worker_id, workers.c.beats == beats_seen).values(stopped_at=at)
        )


def departed(connection: Connection) -> list[str]:
    """Workers that said goodbye, or were buried, and left a call open all the same."""
    present = select(workers.c.worker_id).where(workers.c.stopped_at.is_(None))
    rows = connection.execute(
        select(attempts.c.worker_id)
        .where(attempts.c.finished_at.is_(None), attempts.c.worker_id.not_in(present))
        .distinct()
    )
    return list(rows.scalars())


def open_attempts(connection: Connection, worker_id: str) -> dict[str, tuple[JobKey, int, str]]:
    """Attempt ids that this worker has open, with their job, number and model."""
    columns = (attempts.c.attempt_id, attempts.c.batch_id, attempts.c.position, attempts.c.number, attempts.c.model)
    rows = connection.execute(
        select(*columns).where(attempts.c.worker_id == worker_id, attempts.c.finished_at.is_(None))
    )
    return {row.attempt_id: (JobKey(row.batch_id, row.position), row.number, row.model) for row in rows}


_KEYS = JsonRows("keys", batch_id="bigint", position="bigint")
_LOSSES = Sql(
    """
    select k.batch_id, k.position,
      (select count(*) from attempts a
        where a.batch_id = k.batch_id and a.position = k.position and a.error_class = 'lost') as losses
    from {keys} k
    """,
    _KEYS,
)


def reap(connection: Connection, worker_ids: Collection[str]) -> int:
    """Close up to 500 attempts of dead workers: outcome unknown, and the job is handed back.

    One transaction; call again until it returns 0. A job that has died too often gets its result here.
    """
    dead = (attempts.c.worker_id.in_(list(worker_ids)), attempts.c.finished_at.is_(None))
    batch_ids = connection.execute(select(attempts.c.batch_id).where(*dead).distinct().limit(_CHUNK)).scalars().all()
    if not batch_ids:
        return 0
    lock_batches(connection, sorted(batch_ids))
    rows = connection.execute(
        select(
            attempts.c.batch_id,
            attempts.c.position,
            attempts.c.number,
            attempts.c.attempt_id,
            attempts.c.account,
            attempts.c.provider,
            attempts.c.model,
        )
        .where(*dead, attempts.c.batch_id.in_(batch_ids))
        .order_by(attempts.c.batch_id, attempts.c.position)
        .limit(_CHUNK)
    ).all()
    keys = [JobKey(row.batch_id, row.position) for row in rows]
    losses = {
        JobKey(row.batch_id, row.position): row.losses + 1
        for row in connection.execute(_LOSSES.on(connection), {"keys": _KEYS.pack(keys)})
    }
    crashed = custom_ids(connection, [key for key in keys if losses[key] >= DEATHS_ALLOWED])
    at = now(connection)
    record(
        connection,
        [
            Report(
                key=key,
                number=row.number,
                attempt_id=row.attempt_id,
                account=row.account,
                provider=row.provider,
                model=row.model,
                state=AttemptState.UNKNOWN,
                error=_LOST,
                finished_at=at,
                then=_crash(crashed[key], losses[key])
                if key in crashed
                else Again(in_s=_patience(losses[key]), why="lost"),
            )
            for key, row in zip(keys, rows, strict=True)
        ],
    )
    return len(rows)


_LOST = CallError(
    error_class=ErrorClass.LOST,
    scope=Scope.SAME,
    message="the process died with this call open; its outcome is unknown",
)


def _patience(losses: int) -> float:
    """Seconds until a job that was lost is due again.

    A suspect waits longer each time: when a process dies over and over for reasons of its own, it must not be the
    same job that is running alone at each death.
    """
    return 0.0 if losses < ALONE_AFTER else 3.0 ** (losses - ALONE_AFTER)


def _crash(custom_id: str | None, losses: int) -> Conclusion:
    return Conclusion(
        state=ResultState.FAILED,
        custom_id=custom_id,
        error_code=ErrorClass.WORKER_CRASH,
        error_message=f"the process died {losses} times while running this job, the last times with nothing else in it",
    )


def forget(connection: Connection, worker_ids: Sequence[str]) -> None:
    """Mark workers as gone, once all they had open has been reaped."""
    connection.execute(
        update(workers).where(workers.c.worker_id.in_(list(worker_ids))).values(stopped_at=now(connection))
    )
