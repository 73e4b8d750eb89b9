"""Jobs of cancelled batches get their results."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from broker.domain.attempt import AttemptState
from broker.domain.batch import BatchState
from broker.domain.job import JobKey
from broker.domain.report import Again
from broker.domain.result import Result
from broker.feeder import sweeper
from broker.feeder.sweeper import LOOK_S, sweep_batch
from broker.store import batches, due, results, workers
from broker.store.claim import Claimant, claim
from broker.store.engine import open_database
from broker.store.finish import sweep
from broker.store.record import record
from broker.store.standing import standing
from broker.testing.builders import ACCOUNT, PROVIDER, a_batch, a_claim, a_report
from broker.testing.manual_clock import ManualClock
from broker.testing.outages import FragileDatabase, eventually

CLAIMANT = Claimant(worker_id="w", account=ACCOUNT, provider=PROVIDER)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[FragileDatabase]:
    database = FragileDatabase(open_database(url))
    try:
        await database.write(workers.register, CLAIMANT.worker_id, ACCOUNT)
        yield database
    finally:
        await database.close()


async def cancelling(database: FragileDatabase, jobs: int, *, per_segment: int = 100) -> int:
    batch_id = await database.write(a_batch, jobs, per_segment=per_segment)
    await database.write(batches.move, batch_id, BatchState.CANCELLING)
    return batch_id


async def ended(database: FragileDatabase, batch_id: int) -> list[Result]:
    return await database.read(results.after, batch_id, 0, 1_000)


def test_every_job_that_never_ran_is_cancelled(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await cancelling(database, 7, per_segment=3)
            assert await sweep_batch(database, batch_id)
            batch = await database.read(batches.get, batch_id)
            assert (batch.state, batch.counts.cancelled) == (BatchState.CANCELLED, 7)
            found = await ended(database, batch_id)
            assert [result.seq for result in found] == [1, 2, 3, 4, 5, 6, 7]
            assert {(result.position, result.custom_id) for result in found} == {(p, f"row-{p}") for p in range(7)}
            assert {result.error_code for result in found} == {"batch_cancelled"}

    asyncio.run(run())


def test_a_call_in_flight_holds_the_end_back_and_keeps_its_answer(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await database.write(a_batch, 3)
            await database.write(claim, CLAIMANT, [a_claim((batch_id, 1))])
            await database.write(batches.move, batch_id, BatchState.CANCELLING)
            assert not await sweep_batch(database, batch_id)
            await database.write(record, [a_report((batch_id, 1))])
            assert await sweep_batch(database, batch_id)
            counts = (await database.read(batches.get, batch_id)).counts
            assert (counts.cancelled, counts.succeeded) == (2, 1)

    asyncio.run(run())


def test_a_call_in_flight_that_fails_is_not_tried_again(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await database.write(a_batch, 1)
            await database.write(claim, CLAIMANT, [a_claim((batch_id, 0))])
            await database.write(batches.move, batch_id, BatchState.CANCELLING)
            assert not await sweep_batch(database, batch_id)
            again = Again(in_s=0.0, why="server_error")
            await database.write(record, [a_report((batch_id, 0), state=AttemptState.FAILED, then=again)])
            assert await sweep_batch(database, batch_id)
            assert (await database.read(batches.get, batch_id)).counts.cancelled == 1
            assert (await database.read(standing, batch_id, 1)).retrying == {}

    asyncio.run(run())


def test_a_second_sweep_changes_nothing(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await cancelling(database, 3)
            assert await sweep_batch(database, batch_id)
            assert await sweep_batch(database, batch_id)
            assert len(await ended(database, batch_id)) == 3

    asyncio.run(run())


def test_a_batch_that_runs_is_left_alone(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await database.write(a_batch, 3)
            assert not await sweep_batch(database, batch_id)
            assert await ended(database, batch_id) == []

    asyncio.run(run())


def test_a_sweep_cut_off_between_segments_is_taken_up_again(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await cancelling(database, 4, per_segment=2)
            await database.write(sweep, batch_id, 0)
            assert len(await ended(database, batch_id)) == 2
            assert await sweep_batch(database, batch_id)
            assert [result.seq for result in await ended(database, batch_id)] == [1, 2, 3, 4]

    asyncio.run(run())


def test_it_goes_on_after_the_database_was_away(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            clock = ManualClock()
            batch_id = await cancelling(database, 2)
            database.failing.add(sweep)
            async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
                running = tasks.create_task(sweeper.run(database, clock))
                await eventually(lambda: database.calls[sweep] and clock.sleepers)
                database.failing.clear()
                clock.advance(LOOK_S)
                await eventually(lambda: database.calls[sweep] == 2 and clock.sleepers)
                running.cancel()
            assert (await database.read(batches.get, batch_id)).state is BatchState.CANCELLED
            assert await ended(database, batch_id)
            assert JobKey(batch_id, 0) not in await database.write(due.take_due, [batch_id], 10)

    asyncio.run(run())
