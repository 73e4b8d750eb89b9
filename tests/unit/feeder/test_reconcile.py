"""Fed jobs that nobody owns are handed back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import Connection, select

from broker.domain.attempt import AttemptState
from broker.domain.batch import BatchState
from broker.domain.job import JobKey
from broker.domain.report import Again
from broker.feeder.reconcile import OVERDUE_S, Overdue, reconcile
from broker.store import batches, due, manifest, workers
from broker.store.claim import Claimant, claim
from broker.store.engine import open_database
from broker.store.record import record
from broker.store.tables import due as due_table
from broker.testing.builders import ACCOUNT, PROVIDER, a_batch, a_claim, a_report, a_segment, a_submission
from broker.testing.outages import FragileDatabase

CLAIMANT = Claimant(worker_id="w", account=ACCOUNT, provider=PROVIDER)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[FragileDatabase]:
    database = FragileDatabase(open_database(url))
    try:
        await database.write(workers.register, CLAIMANT.worker_id, ACCOUNT)
        yield database
    finally:
        await database.close()


def due_rows(connection: Connection) -> dict[tuple[int, int], str]:
    rows = connection.execute(select(due_table))
    return {(row.batch_id, row.position): row.why for row in rows}


async def finished(database: FragileDatabase, *keys: JobKey) -> None:
    await database.write(claim, CLAIMANT, [a_claim(key) for key in keys])
    await database.write(record, [a_report(key) for key in keys])


def test_only_fed_jobs_without_an_owner_come_back(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await database.write(a_batch, 6)
            with_result, with_attempt, with_due_row, stranded = (JobKey(batch_id, position) for position in range(4))
            await database.write(manifest.advance, [(batch_id, 0, 4)])
            await finished(database, with_result)
            await database.write(claim, CLAIMANT, [a_claim(with_attempt)])
            await database.write(due.make_due, [with_due_row], "retry")
            assert await reconcile(database) == 1
            assert await database.read(due_rows) == {with_due_row: "retry", stranded: "reconciled"}

    asyncio.run(run())


def test_a_second_time_changes_nothing(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await database.write(a_batch, 3)
            await database.write(manifest.advance, [(batch_id, 0, 3)])
            assert [await reconcile(database), await reconcile(database)] == [3, 0]

    asyncio.run(run())


def test_what_was_taken_and_never_claimed_is_due_now(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await database.write(a_batch, 1)
            await database.write(due.make_due, [JobKey(batch_id, 0)], "retry")
            assert await database.write(due.take_due, [batch_id], 10) == [JobKey(batch_id, 0)]
            assert await database.write(due.take_due, [batch_id], 10) == []
            await reconcile(database)
            assert await database.write(due.take_due, [batch_id], 10) == [JobKey(batch_id, 0)]

    asyncio.run(run())


def test_a_retry_that_is_not_due_yet_keeps_its_time(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await database.write(a_batch, 1)
            await database.write(manifest.advance, [(batch_id, 0, 1)])
            await database.write(claim, CLAIMANT, [a_claim((batch_id, 0))])
            again = a_report((batch_id, 0), state=AttemptState.FAILED, then=Again(in_s=500.0, why="server_error"))
            await database.write(record, [again])
            assert await reconcile(database) == 0
            assert await database.write(due.take_due, [batch_id], 10) == []

    asyncio.run(run())


def test_paused_batches_are_reconciled_and_ending_ones_are_not(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            paused, cancelling = [await database.write(a_batch, 2) for _ in range(2)]
            await database.write(manifest.advance, [(paused, 0, 2), (cancelling, 0, 2)])
            await database.write(batches.move, paused, BatchState.PAUSED)
            await database.write(batches.move, cancelling, BatchState.CANCELLING)
            assert await reconcile(database) == 2
            assert {key[0] for key in await database.read(due_rows)} == {paused}

    asyncio.run(run())


def test_finished_and_unfed_segments_are_not_read(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await database.write(a_batch, 6, per_segment=2)
            await database.write(manifest.advance, [(batch_id, 0, 2), (batch_id, 1, 2)])
            await finished(database, JobKey(batch_id, 0), JobKey(batch_id, 1))
            assert await reconcile(database) == 2
            assert database.calls[manifest.payload] == 1

    asyncio.run(run())


def test_segments_of_several_routes_that_overlap_are_told_apart(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id, _ = await database.write(manifest.open_batch, a_submission())
            drafts = [a_segment([0, 2, 4]), a_segment([1, 3, 5], "other")]
            await database.write(manifest.add_segments, batch_id, 0, drafts)
            await database.write(manifest.seal, batch_id, 6)
            await database.write(manifest.advance, [(batch_id, 0, 3), (batch_id, 1, 1)])
            await finished(database, JobKey(batch_id, 1), JobKey(batch_id, 2))
            await reconcile(database)
            assert set(await database.read(due_rows)) == {(batch_id, 0), (batch_id, 4)}

    asyncio.run(run())


def test_what_was_fed_long_ago_and_is_in_nobodys_hands_is_handed_back(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await database.write(a_batch, 3)
            finished_one, called, lost = (JobKey(batch_id, position) for position in range(3))
            await database.write(manifest.advance, [(batch_id, 0, 3)])
            await finished(database, finished_one)
            await database.write(claim, CLAIMANT, [a_claim(called)])
            overdue = Overdue()
            overdue.fed([(batch_id, 0)], now=100.0)
            assert not overdue.due(100.0 + OVERDUE_S - 1)
            assert overdue.due(100.0 + OVERDUE_S)
            assert await overdue.hand_back(database, 100.0 + OVERDUE_S) == 1
            assert await database.read(due_rows) == {lost: "reconciled"}
            assert not overdue.due(100.0 + OVERDUE_S + 1)
            assert overdue.due(100.0 + 2 * OVERDUE_S)

    asyncio.run(run())


def test_a_finished_segment_is_not_looked_at_again(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await database.write(a_batch, 2)
            await database.write(manifest.advance, [(batch_id, 0, 2)])
            await finished(database, JobKey(batch_id, 0), JobKey(batch_id, 1))
            overdue = Overdue()
            overdue.fed([(batch_id, 0)], now=0.0)
            assert await overdue.hand_back(database, OVERDUE_S) == 0
            assert not overdue.due(1e9)

    asyncio.run(run())


def test_what_may_still_wait_in_the_queue_is_not_handed_back(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            batch_id = await database.write(a_batch, 2)
            await database.write(manifest.advance, [(batch_id, 0, 2)])
            overdue = Overdue()
            overdue.fed([(batch_id, 0)], now=0.0, published=12)
            assert await overdue.hand_back(database, OVERDUE_S, consumed=11) == 0
            assert await overdue.hand_back(database, OVERDUE_S, consumed=12) == 2

    asyncio.run(run())
