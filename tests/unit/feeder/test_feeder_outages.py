"""The feeder outlives its database and its transport, and loses no job by it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import Connection

from broker.domain.batch import BatchState
from broker.domain.job import Job, JobKey
from broker.feeder.feeder import LOOK_FOR_DUE_S, SAVE_S
from broker.feeder.reconcile import OVERDUE_S
from broker.store import batches, due, manifest
from broker.store.claim import claim
from broker.testing.builders import MODEL, a_batch, a_claim, a_segment, a_submission
from broker.testing.feeding import CLAIMANT, FeederRig, feeding, supply
from broker.testing.outages import eventually
from broker.transport.port import Consumer, Delivery

FIRST_RETRY_S = 0.2


@asynccontextmanager
async def running(rig: FeederRig) -> AsyncIterator[None]:
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        feeder = tasks.create_task(rig.feeder.run())
        yield
        feeder.cancel()


async def granted(rig: FeederRig) -> list[Job]:
    """Claim and ack what is in the window."""
    jobs: list[Job] = []
    for delivery in rig.consumer.take(100):
        for job in delivery.turn.jobs:
            (answer,) = await rig.database.write(claim, CLAIMANT, [a_claim(job.key, from_due=job.from_due)])
            jobs.extend([job] if answer.verdict == "granted" else [])
        await delivery.ack()
    return jobs


async def worked(rig: FeederRig, most: int) -> list[Job]:
    """Claim and ack whatever comes, until so many jobs were granted."""
    jobs: list[Job] = []
    while len(jobs) < most:
        jobs += await granted(rig)
        rig.feeder.wake()
        await asyncio.sleep(0)
    return jobs


async def asleep(rig: FeederRig) -> None:
    await eventually(lambda: rig.clock.sleepers)


@pytest.mark.parametrize(
    "operation",
    [due.untake, batches.in_state, manifest.unfed_routes, due.take_due, manifest.next_unfed, manifest.payload],
    ids=lambda operation: operation.__name__,
)
def test_a_database_that_comes_back_is_all_it_needs(sqlite_url: str, operation: Callable[..., Any]) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, slots=5) as rig:
            batch_id = await rig.database.write(a_batch, 20, per_segment=7)
            rig.database.failing.add(operation)
            async with running(rig):
                await asleep(rig)
                rig.database.failing.clear()
                rig.clock.advance(FIRST_RETRY_S)
                jobs = await worked(rig, 20)
            assert {job.key for job in jobs} == {JobKey(batch_id, position) for position in range(20)}

    asyncio.run(run())


def test_jobs_taken_from_a_segment_before_the_next_one_failed_are_fed(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, slots=10) as rig:
            batch_id = await rig.database.write(a_batch, 9, per_segment=3)

            def second_segment(operation: Callable[..., Any]) -> None:
                if operation is manifest.next_unfed and rig.database.calls[operation] == 2:
                    rig.database.failing.add(manifest.payload)

            rig.database.before = second_segment
            async with running(rig):
                await asleep(rig)
                assert await rig.transport.waiting(MODEL) == 0
                assert (await rig.database.read(batches.get, batch_id)).counts.fed == 0
                rig.database.failing.clear()
                rig.clock.advance(FIRST_RETRY_S)
                await worked(rig, 9)

    asyncio.run(run())


@pytest.mark.parametrize("gets_through", [0, 1, 7, 12])
def test_turns_that_were_not_published_are_fed_again(sqlite_url: str, gets_through: int) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, slots=5) as rig:
            batch_id = await rig.database.write(a_batch, 20, per_segment=7)
            rig.transport.gets_through = gets_through
            async with running(rig):
                jobs = []
                while not rig.clock.sleepers:
                    jobs += await granted(rig)
                    rig.feeder.wake()
                    await asyncio.sleep(0)
                jobs += await granted(rig)
                assert (await rig.database.read(batches.get, batch_id)).counts.fed <= gets_through
                rig.transport.gets_through = 1_000
                rig.clock.advance(FIRST_RETRY_S)
                jobs += await worked(rig, 20 - len(jobs))
            assert {job.key.position for job in jobs} == set(range(20))

    asyncio.run(run())


def test_what_was_published_before_the_failure_stays_written_down(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, slots=5) as rig:
            batch_id = await rig.database.write(a_batch, 20)
            async with running(rig):
                await eventually(lambda: rig.fed)
                await rig.take_and_ack()
                rig.transport.gets_through = 0
                await asleep(rig)
                rig.clock.advance(FIRST_RETRY_S)
                await eventually(lambda: rig.database.calls[manifest.advance])
                await asleep(rig)
                assert (await rig.database.read(batches.get, batch_id)).counts.fed == 5

    asyncio.run(run())


def test_a_due_job_that_was_taken_but_not_published_does_not_wait(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, slots=5) as rig:
            batch_id = await rig.database.write(a_batch, 3)
            await rig.database.write(manifest.advance, [(batch_id, 0, 3)])
            await rig.database.write(due.make_due, [JobKey(batch_id, 1)], "retry")
            rig.database.before = lambda operation: (
                rig.database.failing.add(manifest.segments_with) if operation is due.take_due else None
            )
            async with running(rig):
                await asleep(rig)
                assert await rig.database.write(due.take_due, [batch_id], 10) == []  # for a minute
                rig.database.before = lambda _: None
                rig.database.failing.clear()
                rig.clock.advance(FIRST_RETRY_S)
                jobs = await worked(rig, 3)
            assert {job.key.position for job in jobs} == {0, 1, 2}

    asyncio.run(run())


def test_a_cursor_that_could_not_be_written_is_written_later(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, slots=5) as rig:
            batch_id = await rig.database.write(a_batch, 20)
            rig.database.failing.add(manifest.advance)
            async with running(rig):
                await asleep(rig)
                rig.database.failing.clear()
                rig.clock.advance(FIRST_RETRY_S)
                await worked(rig, 20)
                rig.clock.advance(SAVE_S)
                await eventually(lambda: rig.database.calls[manifest.advance] >= 3)
            assert (await rig.database.read(batches.get, batch_id)).counts.fed == 20

    asyncio.run(run())


def test_a_batch_that_ended_during_the_outage_is_no_trouble(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, slots=5) as rig:
            ended, other = [await rig.database.write(a_batch, 20) for _ in range(2)]
            async with running(rig):
                await eventually(lambda: rig.fed)
                await rig.take_and_ack()
                rig.database.failing.add(due.take_due)
                rig.clock.advance(LOOK_FOR_DUE_S)
                await asleep(rig)
                await rig.database.write(batches.move, ended, BatchState.CANCELLING)
                rig.database.failing.clear()
                rig.clock.advance(FIRST_RETRY_S)
                jobs = await worked(rig, 15)
            assert {job.key.batch_id for job in jobs} == {other}

    asyncio.run(run())


def test_it_asks_less_and_less_often_while_the_database_is_away(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url) as rig:
            rig.database.down = True
            async with running(rig):
                for pause_s in (0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0):
                    await asleep(rig)
                    asked = rig.database.calls.total()
                    rig.clock.advance(pause_s - 0.01)
                    await asyncio.sleep(0)
                    assert rig.database.calls.total() == asked
                    rig.clock.advance(0.02)
                    await eventually(lambda before=asked: rig.database.calls.total() > before)  # type: ignore[misc]

    asyncio.run(run())


def test_it_ends_when_it_is_told_to_also_during_an_outage(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url) as rig:
            rig.database.down = True
            async with running(rig):
                await asleep(rig)

    asyncio.run(run())


def _a_batch_elsewhere(connection: Connection) -> int:
    batch_id, _ = manifest.open_batch(connection, a_submission())
    manifest.add_segments(connection, batch_id, 0, [a_segment(range(50), "elsewhere")])
    manifest.seal(connection, batch_id, 50)
    return batch_id


async def _taken(consumer: Consumer, turns: int) -> list[Delivery]:
    found: list[Delivery] = []
    while len(found) < turns:
        found += consumer.take(turns - len(found))
        await asyncio.sleep(0)
    return found


def test_turns_lost_without_a_word_are_fed_again_though_another_route_stands_still(sqlite_url: str) -> None:
    async def run() -> None:
        supplies = {MODEL: supply(5), "elsewhere": supply(5)}
        async with feeding(sqlite_url, supplies) as rig:
            working = rig.transport.consume([MODEL], lambda: None)
            lost = await rig.database.write(a_batch, 3)
            await rig.database.write(_a_batch_elsewhere)
            async with running(rig):
                for delivery in await _taken(working, 3):
                    await delivery.ack()
                while not await rig.transport.waiting("elsewhere"):
                    rig.feeder.wake()
                    await asyncio.sleep(0)
                rig.clock.advance(OVERDUE_S)
                rig.feeder.wake()
                again = await _taken(working, 3)
            keys = [job.key for delivery in again for job in delivery.turn.jobs]
            assert sorted(keys) == [JobKey(lost, position) for position in range(3)]

    asyncio.run(run())


def test_turns_lost_without_a_word_are_fed_again_though_their_queue_is_never_empty(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, slots=3) as rig:
            batch_id = await rig.database.write(a_batch, 90, per_segment=3)
            async with running(rig):
                await eventually(lambda: rig.fed)
                lost = {job.key for job in await rig.take_and_ack()}
                assert lost
                rig.clock.advance(OVERDUE_S)
                found: set[JobKey] = set()
                while not lost <= found:
                    assert len(found) < 60
                    rig.feeder.wake()
                    await asyncio.sleep(0)
                    found |= {job.key for job in await granted(rig)}
            assert {key.batch_id for key in found} == {batch_id}

    asyncio.run(run())
