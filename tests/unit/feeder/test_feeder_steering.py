"""Pause, resume and cancel take effect in the feeder."""

import asyncio

from broker.domain.batch import BatchState
from broker.domain.job import JobKey
from broker.store import batches, due
from broker.testing.builders import MODEL, a_batch
from broker.testing.feeding import feeding


def test_a_paused_batch_is_not_fed(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, slots=5) as rig:
            batch_id = await rig.database.write(a_batch, 100)
            await rig.feeder.feed()
            await rig.database.write(batches.move, batch_id, BatchState.PAUSED)
            await rig.database.write(due.make_due, [JobKey(batch_id, 0)], "retry")
            await rig.take_and_ack()
            rig.feeder.wake()
            assert await rig.feeder.feed() == 0

    asyncio.run(run())


def test_a_resumed_batch_goes_on_where_it_was(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, slots=5) as rig:
            batch_id = await rig.database.write(a_batch, 12, per_segment=4)
            await rig.feeder.feed()
            jobs = await rig.take_and_ack()
            for state in (BatchState.PAUSED, BatchState.RUNNING):
                await rig.database.write(batches.move, batch_id, state)
                rig.feeder.wake()
                await rig.feeder.feed()
            jobs += await rig.take_and_ack() + await rig.feed_all()
            assert [job.key.position for job in jobs] == list(range(12))

    asyncio.run(run())


def test_a_pause_earns_no_new_start(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, slots=5) as rig:
            batch_id = await rig.database.write(a_batch, 100)
            await rig.feeder.feed()
            shares = rig.feeder._routes[MODEL].shares
            paid = shares.virtual_time(batch_id)
            assert paid > 0
            await rig.database.write(batches.move, batch_id, BatchState.PAUSED)
            rig.feeder.wake()
            await rig.feeder.feed()
            assert shares.virtual_time(batch_id) == paid

    asyncio.run(run())


def test_a_batch_that_has_ended_is_forgotten(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, slots=5) as rig:
            batch_id = await rig.database.write(a_batch, 100)
            await rig.feeder.feed()
            await rig.database.write(batches.move, batch_id, BatchState.CANCELLING)
            rig.feeder.wake()
            await rig.take_and_ack()
            assert await rig.feeder.feed() == 0
            assert not rig.feeder._routes[MODEL].cursors
            assert batch_id not in rig.feeder._routes[MODEL].shares

    asyncio.run(run())


def test_a_cancelled_batch_leaves_its_place_to_others(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, slots=10) as rig:
            cancelled, other = [await rig.database.write(a_batch, 100) for _ in range(2)]
            await rig.feeder.feed()
            await rig.take_and_ack()
            await rig.database.write(batches.move, cancelled, BatchState.CANCELLING)
            rig.feeder.wake()
            await rig.feeder.feed()
            assert {job.key.batch_id for job in rig.take()} == {other}

    asyncio.run(run())
