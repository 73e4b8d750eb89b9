"""The feeder keeps every window full, and no fuller."""

import asyncio
from collections import Counter

from sqlalchemy import Connection, select

from broker.domain.job import JobKey
from broker.feeder.feeder import REFRESH_S, SAVE_S
from broker.store import batches, due, manifest
from broker.store.tables import due as due_table
from broker.testing.builders import MODEL, a_batch, a_segment, a_submission
from broker.testing.feeding import feeding, supply
from broker.testing.outages import FragileDatabase

OTHER = "other-model"


async def a_mixed_batch(database: FragileDatabase, *, jobs: int = 20) -> int:
    """Even positions take one route, odd ones another."""
    batch_id, _ = await database.write(manifest.open_batch, a_submission())
    drafts = [a_segment(range(0, jobs, 2)), a_segment(range(1, jobs, 2), OTHER)]
    await database.write(manifest.add_segments, batch_id, 0, drafts)
    await database.write(manifest.seal, batch_id, jobs)
    return batch_id


def taken_due_rows(connection: Connection) -> dict[int, bool]:
    """Positions with a due row, and whether it was taken."""
    return {row.position: row.fed_at is not None for row in connection.execute(select(due_table))}


def test_every_job_of_a_batch_is_fed_once(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, slots=7) as rig:
            batch_id = await rig.database.write(a_batch, 250, per_segment=60)
            jobs = await rig.feed_all()
            assert [job.key for job in jobs] == [JobKey(batch_id, position) for position in range(250)]

    asyncio.run(run())


def test_the_window_is_filled_to_its_target_and_not_beyond(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, slots=5) as rig:
            await rig.database.write(a_batch, 100)
            assert await rig.feeder.feed() == 5
            assert await rig.feeder.feed() == 0
            assert await rig.transport.waiting(MODEL) == 5

    asyncio.run(run())


def test_what_a_worker_holds_unacked_counts_as_waiting(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, slots=5) as rig:
            await rig.database.write(a_batch, 100)
            await rig.feeder.feed()
            assert len(rig.take()) == 5
            assert await rig.feeder.feed() == 0

    asyncio.run(run())


def test_an_ack_makes_room(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, slots=5) as rig:
            await rig.database.write(a_batch, 100)
            await rig.feeder.feed()
            for delivery in rig.consumer.take(2):
                await delivery.ack()
            assert await rig.feeder.feed() == 2

    asyncio.run(run())


def test_a_blocked_route_does_not_hold_back_another(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, {MODEL: supply(2), OTHER: supply(3)}) as rig:
            await a_mixed_batch(rig.database)
            served = rig.transport.consume([OTHER], lambda: None)
            found: list[int] = []
            for _ in range(10):
                await rig.feeder.feed()
                assert await rig.transport.waiting(MODEL) == 2
                for delivery in served.take(100):
                    found.extend(job.key.position for job in delivery.turn.jobs)
                    await delivery.ack()
            assert found == list(range(1, 20, 2))

    asyncio.run(run())


def test_a_route_that_nobody_serves_is_left_where_it_is(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url) as rig:
            batch_id = await a_mixed_batch(rig.database)
            jobs = await rig.feed_all()
            assert {job.route for job in jobs} == {MODEL}
            await rig.refreshed()
            rows = await rig.database.read(manifest.segment_rows, batch_id)
            assert {row.route: row.fed for row in rows} == {MODEL: 10, OTHER: 0}

    asyncio.run(run())


def test_batches_share_the_window(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, slots=20) as rig:
            for _ in range(2):
                await rig.database.write(a_batch, 600)
            await rig.feeder.feed()
            shares = Counter(job.key.batch_id for job in rig.take())
            assert sorted(shares.values()) in ([9, 11], [10, 10])

    asyncio.run(run())


def test_only_the_named_batches_are_fed(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, slots=100, only=[1]) as rig:
            mine, other = [await rig.database.write(a_batch, 3) for _ in range(2)]
            assert mine == 1
            await rig.database.write(due.make_due, [JobKey(other, 0), JobKey(mine, 0)], "retry")
            assert {job.key.batch_id for job in await rig.feed_all()} == {mine}
            assert (await rig.database.read(taken_due_rows)) == {0: False}

    asyncio.run(run())


def test_due_jobs_go_before_new_ones(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, slots=3) as rig:
            batch_id = await rig.database.write(a_batch, 10)
            await rig.database.write(manifest.advance, [(batch_id, 0, 5)])
            await rig.database.write(due.make_due, [JobKey(batch_id, 4)], "retry")
            await rig.feeder.feed()
            assert [(job.key.position, job.from_due) for job in rig.take()] == [(4, True), (5, False), (6, False)]

    asyncio.run(run())


def test_a_due_job_comes_as_it_was_stored(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url) as rig:
            batch_id = await rig.database.write(a_batch, 10)
            await rig.database.write(manifest.advance, [(batch_id, 0, 10)])
            await rig.database.write(due.make_due, [JobKey(batch_id, 7)], "retry")
            await rig.feeder.feed()
            (job,) = rig.take()
            assert (job.custom_id, job.route, job.body) == ("row-7", MODEL, b'{"prompt":7}')

    asyncio.run(run())


def test_due_jobs_do_not_overfill_a_window(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, {MODEL: supply(2), OTHER: supply(50)}) as rig:
            batch_id = await a_mixed_batch(rig.database)
            await rig.database.write(manifest.advance, [(batch_id, 0, 10), (batch_id, 1, 10)])
            await rig.database.write(due.make_due, [JobKey(batch_id, position) for position in range(20)], "retry")
            await rig.feeder.feed()
            assert (await rig.transport.waiting(MODEL), await rig.transport.waiting(OTHER)) == (2, 10)
            rows = await rig.database.read(taken_due_rows)
            assert sum(rows[position] for position in range(0, 20, 2)) == 2
            assert all(rows[position] for position in range(1, 20, 2))

    asyncio.run(run())


def test_due_jobs_of_a_blocked_route_do_not_pile_up(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, {MODEL: supply(2), OTHER: supply(50)}) as rig:
            batch_id = await a_mixed_batch(rig.database)
            await rig.database.write(manifest.advance, [(batch_id, 0, 10), (batch_id, 1, 10)])
            await rig.database.write(due.make_due, [JobKey(batch_id, 0)], "retry")
            for _ in range(5):  # taken and never claimed: due again each time
                await rig.feeder.feed()
                await rig.database.write(due.untake)
            assert await rig.transport.waiting(MODEL) == 2

    asyncio.run(run())


def test_a_due_job_that_nobody_serves_is_not_published(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url) as rig:
            batch_id = await a_mixed_batch(rig.database)
            await rig.database.write(manifest.advance, [(batch_id, 0, 10), (batch_id, 1, 10)])
            await rig.database.write(due.make_due, [JobKey(batch_id, 1), JobKey(batch_id, 2)], "retry")
            assert [job.key.position for job in await rig.feed_all()] == [2]

    asyncio.run(run())


def test_cursors_are_written_a_little_later(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, slots=5) as rig:
            batch_id = await rig.database.write(a_batch, 100)
            await rig.feeder.feed()
            await rig.feeder.feed()
            rig.clock.advance(SAVE_S)
            await rig.feeder.feed()
            assert (await rig.database.read(batches.get, batch_id)).counts.fed == 5

    asyncio.run(run())


def test_it_tells_how_many_it_fed(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url, slots=4) as rig:
            await rig.database.write(a_batch, 6)
            await rig.feed_all()
            assert rig.fed == [4, 2]

    asyncio.run(run())


def test_a_new_batch_is_seen_at_the_next_look(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url) as rig:
            assert await rig.feeder.feed() == 0
            await rig.database.write(a_batch, 3)
            assert await rig.feeder.feed() == 0
            rig.clock.advance(REFRESH_S)
            assert await rig.feeder.feed() == 3

    asyncio.run(run())


def test_a_wake_up_makes_it_look_at_once(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url) as rig:
            assert await rig.feeder.feed() == 0
            await rig.database.write(a_batch, 3)
            rig.feeder.wake()
            assert await rig.feeder.feed() == 3

    asyncio.run(run())


def test_a_batch_that_grows_is_fed_further(sqlite_url: str) -> None:
    async def run() -> None:
        async with feeding(sqlite_url) as rig:
            batch_id = await rig.database.write(a_batch, 3)
            assert len(await rig.feed_all()) == 3
            await rig.refreshed()
            await rig.database.write(manifest.add_segments, batch_id, 1, [a_segment([3, 4])])
            await rig.refreshed()
            assert [job.key.position for job in rig.take()] == [3, 4]

    asyncio.run(run())
