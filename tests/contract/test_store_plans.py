"""Statements of the hot path read a bounded number of pages, whatever the size of the tables.

PostgreSQL keeps the plan that it made when a connection prepared a statement. Here that is done on empty tables
without statistics; then these are filled, and the very same connection is asked again. The server itself tells
what each statement read (`auto_explain`).
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, text

from broker.domain.attempt import AttemptState
from broker.domain.job import JobKey
from broker.domain.report import Again, Part
from broker.store import due, results, workers
from broker.store.engine import open_database
from broker.testing.builders import a_batch, a_claim, a_report, an_answer
from broker.testing.contracts.store import Ledger, opened

JOBS = 20_000
TAKEN = 32
PAGES_PER_JOB = 40
"""A row that is found, changed and put into its indexes costs a few pages; one scan of a table costs hundreds."""


class Pages:
    """Listens to what the statements of one connection read."""

    def __init__(self) -> None:
        self.read: list[tuple[int, str]] = []
        self.connections = 0

    def listen(self, connection: Connection) -> None:
        self.connections += 1
        for setting in ("log_min_duration = 0", "log_analyze = on", "log_buffers = on", "log_format = json"):
            connection.exec_driver_sql("load 'auto_explain'")
            connection.exec_driver_sql(f"set auto_explain.{setting}")
        connection.exec_driver_sql("set client_min_messages = log")
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.add_log_listener(self._told)

    def _told(self, _: object, message: Any) -> None:
        _, found, plan = message.message.partition("plan:\n")
        if found:
            told = json.loads(plan)
            blocks = told["Plan"]["Shared Hit Blocks"] + told["Plan"]["Shared Read Blocks"]
            self.read.append((blocks, told["Query Text"]))

    def taken(self) -> list[tuple[int, str]]:
        read, self.read = self.read, []
        return read


@pytest.fixture
def ledger(postgres_url: str) -> Iterator[Ledger]:
    with opened(postgres_url) as ledger:
        yield ledger


def without_statistics(connection: Connection) -> None:
    for table in ("attempts", "results", "part_answers", "due", "usage_hourly", "batches"):
        connection.execute(text(f"alter table {table} set (autovacuum_enabled = off)"))


def per_job(read: list[tuple[int, str]]) -> dict[str, float]:
    """Pages by statement; one that ran for each job is counted as it is, one for all jobs is shared by these."""
    executions: defaultdict[str, list[int]] = defaultdict(list)
    for blocks, query in read:
        executions[query].append(blocks)
    return {query: max(each) / (1 if len(each) >= TAKEN else TAKEN) for query, each in executions.items()}


def everything_once(ledger: Ledger, batch_id: int, first: int, jobs: int) -> None:
    """Each operation of the hot path, for the same jobs."""
    keys = [JobKey(batch_id, position) for position in range(first, first + jobs)]
    again = Again(in_s=0, why="busy")
    ledger.claim(*map(a_claim, keys))
    ledger.record(*(a_report(key, 1, AttemptState.REFUSED, again) for key in keys))
    ledger.write(due.take_due, [batch_id], jobs)
    assert ledger.write(due.take_due, [batch_id], JOBS) == []
    ledger.claim(*(a_claim(key, f"again-{key}", from_due=True) for key in keys))
    ledger.claim(*(a_claim(key, f"again-{key}", from_due=True) for key in keys))
    ledger.write(workers.reap, [ledger.worker])
    ledger.read(due.stranded, keys)
    ledger.write(due.make_due, keys, "handed_back")
    ledger.claim(*(a_claim(key, from_due=True) for key in keys))
    ledger.record(*(a_report(key, 3, then=Part(number=0, body=b"first")) for key in keys))
    ledger.claim(*(a_claim(key, from_due=True) for key in keys))
    ledger.record(*(a_report(key, 4, then=replace(an_answer(key), parts=1)) for key in keys))
    ledger.claim(*map(a_claim, keys))
    ledger.read(results.after, batch_id, 0, jobs)
    ledger.read(results.lines_from, batch_id, first, jobs)


_FILL = (
    (
        "insert into attempts (batch_id, position, number, attempt_id, worker_id, account, provider, model, state,"
        " claimed_at, finished_at) select :batch_id, n, 1, 'a' || n, 'somebody', 'team-a', 'openai', 'm',"
        " case when n % 10 = 0 then 'open' else 'ok' end, 0, case when n % 10 = 0 then null else 1 end"
        " from generate_series(0, :last) n"
    ),
    (
        "insert into results (batch_id, position, seq, state, attempts, finished_at)"
        " select :batch_id, n, row_number() over (), 'succeeded', 1, 1"
        " from generate_series(0, :last) n where n % 10 <> 0"
    ),
    (
        "insert into part_answers (batch_id, position, part, number, body)"
        " select :batch_id, n, 0, 1, 'x' from generate_series(0, :last) n where n % 10 = 0"
    ),
    (
        "update batches set succeeded = (select count(*) from results where batch_id = :batch_id)"
        " where batch_id = :batch_id and :last > 0"
    ),
    (
        "insert into due (batch_id, position, at, why) select :batch_id, n, 4e9, 'daily_quota'"
        " from generate_series(:last + 5000, :last + 15000) n"
    ),
)


def fill(connection: Connection, batch_id: int) -> None:
    """A long history: most jobs finished, some being called, many due in a far future."""
    for statement in _FILL:
        connection.execute(text(statement), {"batch_id": batch_id, "last": JOBS - 1})


async def elsewhere(url: str, batch_id: int) -> None:
    database = open_database(url)
    await database.write(fill, batch_id)
    await database.close()


def test_no_statement_reads_more_pages_because_the_tables_have_grown(ledger: Ledger, postgres_url: str) -> None:
    pages = Pages()
    ledger.write(without_statistics)
    small, large = ledger.batch(2), ledger.write(a_batch, 2 * JOBS, per_segment=1_000)
    ledger.write(pages.listen)
    everything_once(ledger, small, 0, 2)
    pages.taken()
    asyncio.run(elsewhere(postgres_url, large))
    everything_once(ledger, large, JOBS, TAKEN)
    costs = per_job(pages.taken())
    assert len(costs) > 20
    dearest = max(costs, key=costs.__getitem__)
    assert costs[dearest] < PAGES_PER_JOB, dearest
