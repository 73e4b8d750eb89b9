"""A process starts where the last one stopped."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select

from broker.domain.attempt import AttemptState, ErrorClass
from broker.domain.report import Report
from broker.errors import StoreUnavailable
from broker.store import batches, due, results
from broker.store import workers as store
from broker.store.claim import Claimant, Verdict, claim
from broker.store.engine import open_database
from broker.store.record import record
from broker.store.tables import attempts
from broker.testing.builders import ACCOUNT, PROVIDER, a_batch, a_claim, a_report
from broker.testing.outages import FragileDatabase
from workers.recorder import MOST_PER_FLUSH
from workers.recovery import bury_predecessors, replay_spools
from workers.spool import Spool


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[FragileDatabase]:
    database = FragileDatabase(open_database(url))
    try:
        yield database
    finally:
        await database.close()


async def claimed(database: FragileDatabase, worker_id: str, batch_id: int, positions: Sequence[int]) -> None:
    claimant = Claimant(worker_id=worker_id, account=ACCOUNT, provider=PROVIDER)
    await database.write(store.register, worker_id, ACCOUNT)
    answers = await database.write(claim, claimant, [a_claim((batch_id, position)) for position in positions])
    assert {answer.verdict for answer in answers} == {Verdict.GRANTED}


def spooled(folder: Path, name: str, reports: Sequence[Report]) -> None:
    spool = Spool(folder, name)
    spool.append(reports)
    spool.leave()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.spool*"))


def by_state(connection: Connection) -> dict[str, int]:
    rows = connection.execute(select(attempts.c.state, func.count()).group_by(attempts.c.state))
    return {row[0]: row[1] for row in rows}


def test_answers_in_several_spools_are_committed(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await database.write(a_batch, 4)
            await claimed(database, "w", batch_id, range(4))
            spooled(tmp_path, "one", [a_report((batch_id, 0)), a_report((batch_id, 1))])
            spooled(tmp_path, "two", [a_report((batch_id, 2)), a_report((batch_id, 1))])
            assert await replay_spools(database, tmp_path) == 4
            found = await database.read(results.after, batch_id, 0, 10)
            assert [(result.position, result.seq) for result in found] == [(0, 1), (1, 2), (2, 3)]
            assert files(tmp_path) == []

    asyncio.run(run())


def test_nothing_to_replay_is_nothing(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            assert await replay_spools(database, tmp_path / "never-made") == 0

    asyncio.run(run())


def test_the_spool_of_a_living_process_is_left_alone(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await database.write(a_batch, 1)
            await claimed(database, "w", batch_id, [0])
            living = Spool(tmp_path, "living")
            living.append([a_report((batch_id, 0))])
            assert await replay_spools(database, tmp_path) == 0
            assert files(tmp_path) == ["living.spool"]
            living.clear()

    asyncio.run(run())


def test_a_replay_cut_off_half_way_is_done_again_without_counting_twice(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            jobs = MOST_PER_FLUSH + 10
            batch_id = await database.write(a_batch, jobs)
            await claimed(database, "w", batch_id, range(jobs))
            spooled(tmp_path, "one", [a_report((batch_id, position)) for position in range(jobs)])

            def only_once(operation: object) -> None:
                if operation is record:
                    database.failing.add(record)

            database.before = only_once
            with pytest.raises(StoreUnavailable):
                await replay_spools(database, tmp_path)
            assert (await database.read(batches.get, batch_id)).counts.succeeded == MOST_PER_FLUSH
            database.before = lambda _: None
            database.failing.clear()
            assert await replay_spools(database, tmp_path) == jobs
            batch = await database.read(batches.get, batch_id)
            assert (batch.counts.succeeded, batch.usage.input_tokens) == (jobs, 10 * jobs)
            assert files(tmp_path) == []

    asyncio.run(run())


def test_a_replayed_answer_counts_also_when_its_worker_was_buried_before(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await database.write(a_batch, 1)
            await claimed(database, "w", batch_id, [0])
            spooled(tmp_path, "one", [a_report((batch_id, 0))])
            assert await bury_predecessors(database) == 1
            await replay_spools(database, tmp_path)
            assert await database.read(by_state) == {AttemptState.OK: 1}
            assert await database.write(due.take_due, [batch_id], 10) == []

    asyncio.run(run())


def test_every_call_of_earlier_processes_is_closed_and_its_job_handed_back(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await database.write(a_batch, 1_100)
            await claimed(database, "one", batch_id, range(600))
            await claimed(database, "two", batch_id, range(600, 1_050))
            assert await bury_predecessors(database) == 1_050
            assert await database.read(by_state) == {AttemptState.UNKNOWN: 1_050}
            assert len(await database.write(due.take_due, [batch_id], 10_000)) == 1_050
            assert await database.read(store.beats) == []

    asyncio.run(run())


def test_what_a_process_left_open_that_had_said_goodbye_is_closed_too(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await database.write(a_batch, 1)
            await claimed(database, "w", batch_id, [0])
            await database.write(store.stop, "w")
            assert await bury_predecessors(database) == 1
            assert await database.read(by_state) == {AttemptState.UNKNOWN: 1}

    asyncio.run(run())


def test_a_burial_cut_off_half_way_counts_each_death_once(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await database.write(a_batch, 1)
            await claimed(database, "w", batch_id, [0])
            database.failing.add(store.forget)
            with pytest.raises(StoreUnavailable):
                await bury_predecessors(database)
            database.failing.clear()
            assert await bury_predecessors(database) == 0
            await database.write(store.register, "next", ACCOUNT)
            claimant = Claimant(worker_id="next", account=ACCOUNT, provider=PROVIDER)
            (answer,) = await database.write(claim, claimant, [a_claim((batch_id, 0), from_due=True)])
            assert answer.history == {ErrorClass.LOST: 1}

    asyncio.run(run())


def test_the_first_start_has_nobody_to_bury(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            assert await bury_predecessors(database) == 0

    asyncio.run(run())
