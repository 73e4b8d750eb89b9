"""The ledger under twelve workers in three processes that die, repeat themselves and report late.

The processes (see `ledger_stress_worker.py`) claim and record; this side feeds every turn twice, pauses, cancels,
sweeps, reaps, loses turns, breaks connections, and checks that the books agree in every snapshot.
"""

import asyncio
import json
import random
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import asyncpg
import pytest
from sqlalchemy import Connection, func, select

from broker.domain.attempt import AttemptState
from broker.domain.batch import TERMINAL, Batch, BatchState
from broker.domain.job import JobKey
from broker.domain.result import ResultState
from broker.errors import StoreUnavailable
from broker.feeder.reconcile import reconcile
from broker.feeder.sweeper import sweep_batch
from broker.store import batches, due, manifest, results
from broker.store.engine import Database, Operation, open_database
from broker.store.tables import attempts, part_answers
from broker.store.tables import due as due_table
from broker.testing.builders import a_batch
from broker.testing.contracts.store import audit
from tests.e2e.ledger_stress_worker import calls
from workers.recovery import bury

P = ParamSpec("P")
T = TypeVar("T")

ROOT = Path(__file__).parents[2]
PROCESSES = 3
WINDOW = 400
DROPPED = 0.2
LOST = 0.02
BREAKS = 110
PACE_S = 0.05
PER_SEGMENT = 100

Attempt = tuple[int, int, int]
Snapshot = Callable[[Connection], int]


@pytest.mark.timeout(240)
def test_the_books_agree_on_sqlite(sqlite_url: str) -> None:
    asyncio.run(Stress(sqlite_url, jobs=1_600, snapshot=audit).run())


@pytest.mark.timeout(240)
def test_the_books_agree_on_postgresql_while_its_connections_break(postgres_url: str) -> None:
    asyncio.run(Stress(postgres_url, jobs=2_400, snapshot=audit_one_snapshot, breaks=BREAKS).run())


def audit_one_snapshot(connection: Connection) -> int:
    connection.exec_driver_sql("set transaction isolation level repeatable read, read only")
    return audit(connection)


class Stress:
    """One run over three batches: one runs through, one is paused for a while, one is cancelled."""

    def __init__(self, url: str, *, jobs: int, snapshot: Snapshot, breaks: int = 0) -> None:
        self._url = url
        self._jobs = jobs
        self._snapshot = snapshot
        self._breaks = breaks
        self._seed = random.randrange(2**32)
        self._draw = random.Random(self._seed)
        self._database: Database = open_database(url)
        self._ids: Sequence[int] = ()
        self._processes: list[Process] = []
        self._published = 0
        self._all_fed = False
        self._handled = 0
        self._granted: Counter[Attempt] = Counter()
        self._attempt_ids: set[tuple[int, int, int, str]] = set()
        self._late: set[Attempt] = set()
        self._violations: list[str] = []
        self._told: Counter[str] = Counter()
        self._over = asyncio.Event()

    async def run(self) -> None:
        started = time.perf_counter()
        self._ids = [await self._database.write(a_batch, self._jobs, per_segment=PER_SEGMENT) for _ in range(3)]
        script = Path(__file__).with_name("ledger_stress_worker.py")
        for index in range(PROCESSES):
            arguments = [str(script), self._url, str(self._seed % 2**31 + index), *map(str, self._ids)]
            self._processes.append(
                await asyncio.create_subprocess_exec(
                    sys.executable, *arguments, stdin=PIPE, stdout=PIPE, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}
                )
            )
        try:
            await self._drive()
        finally:
            for process in self._processes:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        await self._check()
        await self._database.close()
        sys.stdout.write(self._summary(time.perf_counter() - started) + "\n")

    async def _drive(self) -> None:
        async with asyncio.timeout(200), asyncio.TaskGroup() as everything:
            hearing = [everything.create_task(self._hear(process)) for process in self._processes]
            steps = (
                self._feed,
                self._feed_due,
                self._look_after,
                self._pause,
                self._cancel,
                self._compare,
                self._break,
            )
            tasks = [everything.create_task(self._until_over(step)) for step in steps]
            await self._over.wait()
            for task in tasks:
                await task
            self._tell(self._processes, stop=True)
            for process in hearing:
                await process

    async def _until_over(self, step: Callable[[], Awaitable[object]]) -> None:
        while not self._over.is_set():
            with suppress(StoreUnavailable):  # the database was asked in vain: ask again
                if await step() is None:
                    await asyncio.sleep(PACE_S)
                else:
                    return

    async def _feed(self) -> bool | None:
        """Every turn twice, positions in any order; a few turns are lost with both their copies."""
        turns = [JobKey(batch_id, position) for batch_id in self._ids for position in range(self._jobs)]
        self._draw.shuffle(turns)
        for key in turns:
            while self._published - self._handled > WINDOW:  # noqa: ASYNC110  # the window is the pace
                await asyncio.sleep(PACE_S / 5)
            if self._draw.random() >= LOST:
                self._publish(key, from_due=False)
        while not self._all_fed:
            with suppress(StoreUnavailable):
                rows = [row for id_ in self._ids for row in await self._database.read(manifest.segment_rows, id_)]
                await self._database.write(manifest.advance, [(row.batch_id, row.number, row.jobs) for row in rows])
                self._all_fed = True
        return True

    def _publish(self, key: JobKey, *, from_due: bool) -> None:
        for _ in range(2):
            self._tell([self._draw.choice(self._processes)], turns=[[*key, from_due]])
            self._published += 1

    def _tell(self, processes: Sequence[Process], **told: object) -> None:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps(told).encode() + b"\n")

    async def _feed_due(self) -> None:
        running = [batch.id for batch in await self._database.read(batches.in_state, BatchState.RUNNING)]
        for key in await self._database.write(due.take_due, running, 100):
            if self._draw.random() < DROPPED:
                self._told["due takes dropped"] += 1
            else:
                self._publish(key, from_due=True)

    async def _look_after(self) -> None:
        """What was lost with its turn comes back, also while its other copy is on its way."""
        await asyncio.sleep(1)
        if self._all_fed:
            await reconcile(self._database)
        else:
            await self._database.write(due.untake)
        if all([(await self._batch(batch_id)).state in TERMINAL for batch_id in self._ids]):
            self._over.set()

    async def _batch(self, batch_id: int) -> Batch:
        return await self._database.read(batches.get, batch_id)

    async def _pause(self) -> bool | None:
        if (await self._batch(self._ids[1])).counts.finished < self._jobs * 0.3:
            return None
        await self._move(self._ids[1], BatchState.PAUSED)
        while True:
            if (await self._eventually(batches.get, self._ids[0])).counts.finished >= self._jobs * 0.6:
                break
            await asyncio.sleep(PACE_S)
        await self._move(self._ids[1], BatchState.RUNNING)
        return True

    async def _cancel(self) -> bool | None:
        if (await self._batch(self._ids[2])).counts.finished < self._jobs * 0.4:
            return None
        await self._move(self._ids[2], BatchState.CANCELLING)
        while True:
            with suppress(StoreUnavailable):
                if await sweep_batch(self._database, self._ids[2]):
                    return True
            await asyncio.sleep(PACE_S)

    async def _move(self, batch_id: int, to: BatchState) -> None:
        assert await self._eventually(batches.move, batch_id, to) is to

    async def _eventually(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        while True:
            with suppress(StoreUnavailable):
                return await self._database.write(operation, *args, **kwargs)
            await asyncio.sleep(PACE_S)

    async def _compare(self) -> None:
        await self._database.read(self._snapshot)
        self._told["snapshots"] += 1
        await asyncio.sleep(PACE_S)

    async def _break(self) -> bool | None:
        """Terminate connections, busy ones first."""
        if not self._breaks:
            return True
        connection = await asyncpg.connect(self._url)
        try:
            while self._told["connections broken"] < self._breaks and not self._over.is_set():
                rows = await connection.fetch(
                    """
                    select pg_terminate_backend(pid) from (
                      select pid from pg_stat_activity
                      where datname = current_database() and application_name = 'penstock' and pid <> pg_backend_pid()
                      order by state = 'active' desc, state like 'idle in%' desc, random() limit 2) as busiest
                    """
                )
                self._told["connections broken"] += len(rows)
                await asyncio.sleep(PACE_S * 3)
        finally:
            await connection.close()
        return True

    async def _hear(self, process: Process) -> None:
        assert process.stdout is not None
        async with asyncio.TaskGroup() as reaping:
            while line := await process.stdout.readline():
                heard = json.loads(line)
                self._handled += heard.get("handled", 0)
                for batch_id, position, number, attempt_id in heard.get("granted", ()):
                    self._granted[batch_id, position, number] += 1
                    self._attempt_ids.add((batch_id, position, number, attempt_id))
                if "late" in heard:
                    self._late.add(tuple(heard["late"]))
                if "dead" in heard:
                    reaping.create_task(self._reap(process, heard["dead"]))
                if "violation" in heard:
                    self._violations.append(heard["violation"])
                self._told.update(heard.get("told", {}))
        assert await process.wait() == 0, "a worker process failed; see its standard error"

    async def _reap(self, process: Process, dead: str) -> None:
        await asyncio.sleep(self._draw.random() * 0.3)
        while True:
            with suppress(StoreUnavailable):
                self._told["reaped"] += await bury(self._database, [dead])
                break
            await asyncio.sleep(PACE_S)
        with suppress(ConnectionError):
            self._tell([process], reaped=dead)

    async def _check(self) -> None:
        assert not self._violations, self._violations[:5]
        assert max(self._granted.values()) == 1, "an attempt was granted twice"
        await self._eventually(self._snapshot)
        rows = await self._eventually(_attempts)
        assert {row[:4] for row in rows} == self._attempt_ids, "attempts that nobody was granted, or lost ones"
        assert not [row for row in rows if row[4] == "open"]
        assert await self._eventually(_due_rows) == 0
        assert await self._eventually(_parts) == 0
        last: dict[tuple[int, int], int] = {}
        answered: dict[tuple[int, int], list[tuple[Any, ...]]] = {}
        for row in rows:
            batch_id, position, number, _, state = row
            last[batch_id, position] = max(number, last.get((batch_id, position), 0))
            if state == AttemptState.OK:
                answered.setdefault((batch_id, position), []).append(row)
        for index, batch_id in enumerate(self._ids):
            found = await self._eventually(results.after, batch_id, 0, self._jobs + 1)
            assert sorted(result.position for result in found) == list(range(self._jobs))
            assert [result.seq for result in found] == list(range(1, self._jobs + 1))
            cancelled = [result for result in found if result.state is ResultState.CANCELLED]
            assert bool(cancelled) == (index == 2)
            for result in found:
                winner = (batch_id, result.position, result.attempts)
                if result.attempts and winner not in self._late:
                    assert last[winner[:2]] == result.attempts, f"{winner} was in time, and its job was called again"
                if result.state is ResultState.SUCCEEDED:
                    good = {row[2] for row in answered.get(winner[:2], ())}
                    assert result.body is not None
                    assert set(map(int, result.body.split(b","))) == good, f"{winner}: of {result.body!r}, not {good}"
                    assert len(good) == calls(JobKey(*winner[:2]))
            ended = (await self._eventually(batches.get, batch_id)).state
            assert ended is (BatchState.CANCELLED if index == 2 else BatchState.COMPLETED)
        assert not self._told["deadlocks"], "lock orders differ"
        assert self._told["connections broken"] >= self._breaks

    def _summary(self, seconds: float) -> str:
        told = ", ".join(f"{count} {name}" for name, count in sorted(self._told.items()))
        jobs = self._jobs * len(self._ids)
        return f"ledger stress (seed {self._seed}): {jobs} jobs, {len(self._granted)} attempts, {seconds:.1f} s: {told}"


def _attempts(connection: Connection) -> list[tuple[Any, ...]]:
    columns = ("batch_id", "position", "number", "attempt_id", "state")
    return [tuple(row) for row in connection.execute(select(*(attempts.c[name] for name in columns)))]


def _parts(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(part_answers)).scalar_one()


def _due_rows(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(due_table)).scalar_one()
