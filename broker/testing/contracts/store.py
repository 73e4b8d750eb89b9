"""A ledger for tests: one database, driven from plain functions, and the sums that must agree in it."""
# ruff: noqa: S101 - a contract is made of assertions

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Connection, Table, func, select, update

from broker.domain.attempt import AttemptState
from broker.domain.batch import Batch
from broker.domain.job import JobKey
from broker.domain.report import Report
from broker.domain.result import Result
from broker.store import batches, results, workers
from broker.store.claim import Claim, Claimant, Claimed, claim
from broker.store.engine import Operation, open_database
from broker.store.plan import Plan
from broker.store.record import record
from broker.store.tables import attempts, due, part_answers, usage_hourly
from broker.store.tables import batches as batches_table
from broker.store.tables import results as results_table
from broker.store.tables import workers as workers_table
from broker.testing.builders import ACCOUNT, PROVIDER, a_batch, a_claim

P = ParamSpec("P")
T = TypeVar("T")
Row = dict[str, Any]

REPORTED = (AttemptState.OK, AttemptState.REFUSED, AttemptState.FAILED, AttemptState.DISCARDED)
_TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "cost")


class Ledger:
    """One database and one event loop; `worker` is registered and fresh."""

    def __init__(self, url: str, worker: str) -> None:
        self.worker = worker
        self._runner = asyncio.Runner()
        self.database = open_database(url)
        self.write(workers.register, self.worker, ACCOUNT)

    def write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return self._runner.run(self.database.write(operation, *args, **kwargs))

    def read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return self._runner.run(self.database.read(operation, *args, **kwargs))

    def close(self) -> None:
        self._runner.run(self.database.close())
        self._runner.close()

    def batch(self, jobs: int = 3) -> int:
        """A batch that may run."""
        return self.write(a_batch, jobs)

    def claim(self, *claims: Claim, worker: str | None = None, account: str = ACCOUNT) -> list[Claimed]:
        """Claim in one transaction, as this ledger's worker unless told otherwise."""
        claimant = Claimant(worker_id=worker or self.worker, account=account, provider=PROVIDER)
        return self.write(claim, claimant, claims)

    def claim_all(self, batch_id: int, jobs: int) -> None:
        """Open the next attempt of the first `jobs` jobs."""
        answers = self.claim(*(a_claim((batch_id, position)) for position in range(jobs)))
        assert all(answer.verdict == "granted" for answer in answers)

    def record(self, *reports: Report) -> Plan:
        return self.write(record, reports)

    def get(self, batch_id: int) -> Batch:
        return self.read(batches.get, batch_id)

    def results(self, batch_id: int) -> list[Result]:
        return self.read(results.after, batch_id, 0, 1_000_000)

    def rows(self, table: Table) -> list[Row]:
        """Every row of a table, in the order of its key."""
        return self.read(_rows, table)

    def attempt_states(self, batch_id: int) -> dict[tuple[int, int], str]:
        """Position and number to state."""
        rows = [row for row in self.rows(attempts) if row["batch_id"] == batch_id]
        return {(row["position"], row["number"]): row["state"] for row in rows}

    def due_keys(self) -> list[JobKey]:
        return [JobKey(row["batch_id"], row["position"]) for row in self.rows(due)]

    def dies(self, *keys: JobKey, worker: str) -> None:
        """A new worker claims these jobs alone, dies, and is reaped."""
        self.write(workers.register, worker, ACCOUNT)
        for key in keys:
            (answer,) = self.claim(a_claim(key, alone=True), worker=worker)
            assert answer.verdict == "granted"
        assert self.write(workers.reap, [worker]) == len(keys)
        self.write(workers.forget, [worker])

    def age_heartbeat(self, seconds: float) -> None:
        """Let the worker's last life sign be so long ago."""
        self.write(_age_heartbeat, self.worker, seconds)

    def audit(self) -> None:
        """Raises when any two books disagree."""
        self.read(audit)


def _rows(connection: Connection, table: Table) -> list[Row]:
    found = connection.execute(select(table).order_by(*table.primary_key.columns))
    return [dict(row._mapping) for row in found]  # noqa: SLF001 - SQLAlchemy's public name


def _age_heartbeat(connection: Connection, worker_id: str, seconds: float) -> None:
    this = workers_table.c.worker_id == worker_id
    connection.execute(update(workers_table).where(this).values(heartbeat=workers_table.c.heartbeat - seconds))


@contextmanager
def opened(url: str, worker: str = "worker-1") -> Iterator[Ledger]:
    """A ledger on a migrated database, with a new worker."""
    ledger = Ledger(url, worker)
    try:
        yield ledger
    finally:
        ledger.close()


def audit(connection: Connection) -> int:
    """Compare all books within one snapshot; returns how many reported attempts they agree on.

    The caller's transaction sees one state of the database: a read transaction of SQLite, or REPEATABLE READ.
    """
    by_batch = {row["batch_id"]: row for row in _attempt_sums(connection, (attempts.c.batch_id,))}
    counts = _result_counts(connection)
    for row in map(dict, connection.execute(select(batches_table)).mappings()):
        batch_id = row["batch_id"]
        _same(row, by_batch.get(batch_id, {}), f"batch {batch_id}: totals against attempts")
        found = counts.get(batch_id, {})
        for state in ("succeeded", "failed", "cancelled", "expired"):
            assert row[state] == found.get(state, 0), f"batch {batch_id}: {state} {row[state]}, results {found}"
        finished = sum(found.get(state, 0) for state in ("succeeded", "failed", "cancelled", "expired"))
        assert (found.get("first"), found.get("last")) in {(1, finished), (None, None)}, f"seq of {batch_id}: {found}"
        ended = row["state"] in ("completed", "cancelled")
        assert ended == (finished == row["total"] and row["state"] != "receiving"), f"batch {batch_id}: {row['state']}"
    _audit_hours(connection)
    _audit_parts(connection)
    return sum(row["attempts"] for row in by_batch.values())


def _audit_hours(connection: Connection) -> None:
    names = ("project", "tag", "account", "provider", "model", "hour")
    hours: dict[tuple[Any, ...], dict[str, Any]] = {}
    dimensions = (
        batches_table.c.project,
        batches_table.c.tag,
        attempts.c.account,
        attempts.c.provider,
        attempts.c.model,
        attempts.c.finished_at,
    )
    for row in _attempt_sums(connection, dimensions):
        key = (*(row[name] for name in names[:-1]), int(row["finished_at"] // 3600) * 3600)
        sums = hours.setdefault(key, {})
        for name in ("attempts", *_TOKENS):
            sums[name] = sums.get(name, 0) + (row[name] or 0)
    booked = [dict(row) for row in connection.execute(select(usage_hourly)).mappings()]
    found = {tuple(row[name] for name in names): row for row in booked}
    assert found.keys() == hours.keys(), f"hours {found.keys() ^ hours.keys()}"
    for key, book in found.items():
        _same(book, hours[key], f"hour {key}")


def _audit_parts(connection: Connection) -> None:
    """Parts are of jobs without a result, in an unbroken row, each from a good attempt of its job."""
    found: dict[JobKey, list[int]] = {}
    rows = connection.execute(select(part_answers).order_by(*part_answers.primary_key.columns)).all()
    for row in rows:
        found.setdefault(JobKey(row.batch_id, row.position), []).append(row.part)
    for key, numbers in found.items():
        assert numbers == list(range(len(numbers))), f"{key}: parts {numbers}"
    one = (attempts.c.batch_id, attempts.c.position, attempts.c.number)
    good = set(map(tuple, connection.execute(select(*one).where(attempts.c.state == AttemptState.OK))))
    assert {(row.batch_id, row.position, row.number) for row in rows} <= good, "a part of no good attempt"
    finished = connection.execute(select(results_table.c.batch_id, results_table.c.position))
    assert not found.keys() & {JobKey(*row) for row in finished}, "parts of a finished job"


def _attempt_sums(connection: Connection, dimensions: Sequence[Any]) -> list[Row]:
    sums = [func.sum(attempts.c[name]).label(name) for name in _TOKENS]
    rows = connection.execute(
        select(*dimensions, func.count().label("attempts"), *sums)
        .select_from(attempts.join(batches_table, batches_table.c.batch_id == attempts.c.batch_id))
        .where(attempts.c.state.in_(REPORTED))
        .group_by(*dimensions)
    )
    return [dict(row) for row in rows.mappings()]


def _result_counts(connection: Connection) -> dict[int, dict[str, Any]]:
    columns = (results_table.c.batch_id, results_table.c.state)
    counts: dict[int, dict[str, Any]] = {}
    first, last = func.min(results_table.c.seq), func.max(results_table.c.seq)
    for row in connection.execute(
        select(*columns, func.count().label("jobs"), first.label("first"), last.label("last")).group_by(*columns)
    ):
        found = counts.setdefault(row.batch_id, {})
        found[row.state] = row.jobs
        found["first"] = min(found.get("first", row.first), row.first)
        found["last"] = max(found.get("last", row.last), row.last)
    return counts


def _same(book: Any, sums: Row, what: str) -> None:
    for name in ("attempts", *_TOKENS):
        assert book[name] == (sums.get(name) or 0), f"{what}: {name} {book[name]}, attempts {sums.get(name)}"
