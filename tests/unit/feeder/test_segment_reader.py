"""Jobs out of segments."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from broker.domain.job import Endpoint, JobKey
from broker.domain.loss import OnLoss
from broker.feeder.segments import CACHED_SEGMENTS, READ_AHEAD, Cursor, SegmentReader
from broker.store import manifest
from broker.store.engine import open_database
from broker.store.segment import SegmentDraft
from broker.testing.builders import MODEL, a_batch, a_segment, a_submission
from broker.testing.outages import FragileDatabase

OTHER = "other-model"


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[FragileDatabase]:
    database = FragileDatabase(open_database(url))
    try:
        yield database
    finally:
        await database.close()


async def stored(database: FragileDatabase, drafts: Sequence[SegmentDraft]) -> int:
    batch_id, _ = await database.write(manifest.open_batch, a_submission())
    await database.write(manifest.add_segments, batch_id, 0, drafts)
    await database.write(manifest.seal, batch_id, sum(draft.count for draft in drafts))
    return batch_id


def a_cursor(database: FragileDatabase, batch_id: int, route: str = MODEL) -> Cursor:
    return Cursor(database, SegmentReader(database), batch_id, route)


async def walked(cursor: Cursor) -> list[int]:
    found: list[int] = []
    while (job := await cursor.next()) is not None:
        found.append(job.key.position)
    return found


def test_a_cursor_walks_every_job_over_all_segments(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await database.write(a_batch, 2 * READ_AHEAD + 51, per_segment=READ_AHEAD + 25)
            assert await walked(a_cursor(database, batch_id)) == list(range(2 * READ_AHEAD + 51))

    asyncio.run(run())


def test_a_job_is_as_it_was_stored(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await database.write(a_batch, 1)
            job = await a_cursor(database, batch_id).next()
            assert job is not None
            assert (job.key, job.custom_id, job.route) == (JobKey(batch_id, 0), "row-0", MODEL)
            assert (job.endpoint, job.body, job.from_due) == (Endpoint.CHAT_COMPLETIONS, b'{"prompt":0}', False)

    asyncio.run(run())


@pytest.mark.parametrize("on_loss", OnLoss)
def test_a_job_knows_what_its_batch_says_of_losses_also_when_it_is_due_again(sqlite_url: str, on_loss: OnLoss) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await stored(database, [a_segment([0, 1], on_loss=on_loss)])
            job = await a_cursor(database, batch_id).next()
            assert job is not None
            again = await SegmentReader(database).jobs([JobKey(batch_id, 1)])
            assert [one.on_loss for one in (job, *again)] == [on_loss] * 2

    asyncio.run(run())


def test_a_cursor_keeps_to_its_route(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            drafts = [a_segment([0, 2, 4]), a_segment([1, 5], OTHER), a_segment([6, 8]), a_segment([3, 7], OTHER)]
            batch_id = await stored(database, drafts)
            assert await walked(a_cursor(database, batch_id)) == [0, 2, 4, 6, 8]
            assert await walked(a_cursor(database, batch_id, OTHER)) == [1, 5, 3, 7]

    asyncio.run(run())


def test_a_cursor_begins_behind_what_was_fed(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await database.write(a_batch, 9, per_segment=3)
            await database.write(manifest.advance, [(batch_id, 0, 3), (batch_id, 1, 2)])
            assert await walked(a_cursor(database, batch_id)) == [5, 6, 7, 8]

    asyncio.run(run())


def test_a_cursor_says_how_far_it_is(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await database.write(a_batch, 3, per_segment=2)
            cursor = a_cursor(database, batch_id)
            seen = []
            while await cursor.next() is not None:
                seen.append(cursor.position())
            assert seen == [(batch_id, 0, 1), (batch_id, 0, 2), (batch_id, 1, 1)]

    asyncio.run(run())


def test_a_cursor_at_its_end_finds_segments_that_come_later(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await stored(database, [a_segment([0, 1])])
            cursor = a_cursor(database, batch_id)
            assert await walked(cursor) == [0, 1]
            await database.write(manifest.add_segments, batch_id, 1, [a_segment([2, 3])])
            assert await walked(cursor) == [2, 3]

    asyncio.run(run())


def test_many_batches_do_not_decode_a_segment_for_each_job(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            reader = SegmentReader(database)
            many = CACHED_SEGMENTS + 4
            ids = [await database.write(a_batch, READ_AHEAD) for _ in range(many)]
            cursors = [Cursor(database, reader, batch_id, MODEL) for batch_id in ids]
            for _ in range(READ_AHEAD):
                for cursor in cursors:
                    assert await cursor.next() is not None
            assert database.calls[manifest.payload] == many

    asyncio.run(run())


@pytest.mark.parametrize("spans", [[range(5)], [[0, 3, 4]], [[0, 4], [1, 3]], [range(2), range(2, 5)]])
def test_single_jobs_are_found_in_dense_sparse_and_mixed_segments(
    sqlite_url: str, spans: Sequence[Sequence[int]]
) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            drafts = [a_segment(span, f"model-{index}") for index, span in enumerate(spans)]
            batch_id = await stored(database, drafts)
            there = {position: f"model-{index}" for index, span in enumerate(spans) for position in span}
            jobs = await SegmentReader(database).jobs([JobKey(batch_id, position) for position in range(6)])
            assert {job.key.position: job.route for job in jobs} == there
            assert all(job.from_due and job.custom_id == f"row-{job.key.position}" for job in jobs)

    asyncio.run(run())


def test_jobs_of_a_batch_that_is_gone_are_left_out(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await database.write(a_batch, 2)
            jobs = await SegmentReader(database).jobs([JobKey(batch_id + 1, 0), JobKey(batch_id, 1)])
            assert [job.key for job in jobs] == [JobKey(batch_id, 1)]

    asyncio.run(run())


def test_the_last_segments_stay_decoded_and_older_ones_go(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await database.write(a_batch, CACHED_SEGMENTS + 1, per_segment=1)
            reader = SegmentReader(database)
            for number in range(CACHED_SEGMENTS + 1):
                await reader.lines(batch_id, number)
            await reader.lines(batch_id, 1)
            assert database.calls[manifest.payload] == CACHED_SEGMENTS + 1
            await reader.lines(batch_id, 0)
            assert database.calls[manifest.payload] == CACHED_SEGMENTS + 2

    asyncio.run(run())
