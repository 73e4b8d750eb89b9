"""Death is judged by liveness, not by age."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

from sqlalchemy import Connection, select

from broker.domain.attempt import AttemptState
from broker.domain.job import JobKey
from broker.store import batches, due
from broker.store import workers as store
from broker.store.claim import Claimant, claim
from broker.store.engine import open_database
from broker.store.record import record
from broker.store.tables import attempts
from broker.store.workers import Signs
from broker.testing.builders import PROVIDER, a_batch, a_claim, a_report
from broker.testing.manual_clock import ManualClock
from broker.testing.outages import FragileDatabase, eventually
from workers.reaper import LONGEST_GAP_S, READ_S, STILL_FOR_S, Reaper

LIVING, DEAD = "living", "dead"


class Rig:
    """Two workers, each with a call in flight: one goes on beating, the other does not."""

    def __init__(self, database: FragileDatabase, batch_id: int) -> None:
        self.database = database
        self.batch_id = batch_id
        self.clock = ManualClock()
        self.reaper = Reaper(database, self.clock)

    async def look_for(self, seconds: float) -> int:
        """Look every two seconds for so long; returns how many calls were closed."""
        closed = 0
        for _ in range(int(seconds / READ_S)):
            closed += await self.look()
        return closed

    async def look(self, after_s: float = READ_S) -> int:
        self.clock.advance(after_s)
        await self.database.write(store.beat, LIVING, Signs(in_flight=1))
        return await self.reaper.look()

    async def open(self) -> list[int]:
        return await self.database.read(_open)


def _open(connection: Connection) -> list[int]:
    rows = connection.execute(select(attempts.c.position).where(attempts.c.finished_at.is_(None)))
    return list(rows.scalars())


@asynccontextmanager
async def rigged(url: str) -> AsyncIterator[Rig]:
    database = FragileDatabase(open_database(url))
    try:
        batch_id = await database.write(a_batch, 2)
        for position, name in enumerate((LIVING, DEAD)):
            await database.write(store.register, name, name)
            claimant = Claimant(worker_id=name, account=name, provider=PROVIDER)
            await database.write(claim, claimant, [a_claim((batch_id, position))])
        yield Rig(database, batch_id)
    finally:
        await database.close()


def test_who_stands_still_for_thirty_seconds_is_dead(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as rig:
            await rig.look()
            assert await rig.look_for(STILL_FOR_S - READ_S) == 0
            assert await rig.look() == 1
            assert await rig.open() == [0]
            assert await rig.database.write(due.take_due, [rig.batch_id], 10) == [JobKey(rig.batch_id, 1)]

    asyncio.run(run())


def test_a_dead_worker_is_buried_once(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as rig:
            assert await rig.look_for(3 * STILL_FOR_S) == 1
            assert [beat.worker_id for beat in await rig.database.read(store.beats)] == [LIVING]

    asyncio.run(run())


def test_an_outage_starts_the_time_again(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as rig:
            await rig.look_for(STILL_FOR_S)
            rig.database.failing.add(store.beats)
            await rig.look()
            rig.database.failing.clear()
            await rig.look()
            assert await rig.look_for(STILL_FOR_S - READ_S) == 0
            assert await rig.look() == 1

    asyncio.run(run())


def test_a_gap_between_two_looks_starts_the_time_again(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as rig:
            await rig.look_for(STILL_FOR_S)
            await rig.look(after_s=LONGEST_GAP_S + 0.1)
            assert await rig.look_for(STILL_FOR_S - READ_S) == 0
            assert await rig.look() == 1

    asyncio.run(run())


def test_a_new_reaper_starts_the_time_again(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as rig:
            await rig.look_for(STILL_FOR_S)
            rig.reaper = Reaper(rig.database, rig.clock)
            await rig.look()
            assert await rig.look_for(STILL_FOR_S - READ_S) == 0

    asyncio.run(run())


def test_the_time_that_a_read_takes_is_nobodys_standstill(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as rig:
            await rig.look()
            await rig.look_for(STILL_FOR_S - 2 * READ_S)
            rig.database.before = lambda operation: rig.clock.advance(4.0) if operation is store.beats else None
            assert await rig.look(after_s=0.0) == 0
            assert await rig.open() == [0, 1]

    asyncio.run(run())


def test_one_beat_starts_the_time_again(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as rig:
            await rig.look_for(STILL_FOR_S - READ_S)
            await rig.database.write(store.beat, DEAD, Signs(in_flight=1))
            assert await rig.look_for(STILL_FOR_S) == 0
            assert await rig.look() == 1

    asyncio.run(run())


def test_what_a_worker_left_open_that_said_goodbye_is_closed_at_once(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as rig:
            await rig.database.write(store.stop, DEAD)
            assert await rig.look() == 1
            assert await rig.open() == [0]

    asyncio.run(run())


def test_an_answer_of_a_worker_that_was_buried_alive_still_counts(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as rig:
            await rig.look_for(2 * STILL_FOR_S)
            plan = await rig.database.write(record, [a_report((rig.batch_id, 1), account=DEAD)])
            assert [row["state"] for row in plan.attempts] == [AttemptState.OK]
            assert (await rig.database.read(batches.get, rig.batch_id)).counts.succeeded == 1

    asyncio.run(run())


def test_a_burial_cut_off_half_way_is_finished_later(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as rig:
            await rig.look()
            rig.database.failing.add(store.reap)
            await rig.look_for(2 * STILL_FOR_S)
            assert await rig.open() == [0, 1]
            rig.database.failing.clear()
            assert await rig.look() == 1
            assert [beat.worker_id for beat in await rig.database.read(store.beats)] == [LIVING]

    asyncio.run(run())


def test_a_life_sign_that_was_under_way_spares_its_worker(sqlite_url: str) -> None:
    def shows_life(operation: object) -> None:
        if operation is store.condemn:
            with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as connection, connection:
                connection.execute("update workers set beats = beats + 1 where worker_id = ?", [DEAD])

    async def run() -> None:
        async with rigged(sqlite_url) as rig:
            await rig.look()
            rig.database.before = shows_life
            assert await rig.look_for(STILL_FOR_S) == 0
            assert rig.database.calls[store.condemn] == 1
            assert await rig.open() == [0, 1]

    asyncio.run(run())


def test_it_goes_on_after_an_outage_until_it_is_told_to_end(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as rig, asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            rig.database.down = True
            reaping = tasks.create_task(rig.reaper.run())
            await eventually(lambda: rig.clock.sleepers)
            rig.database.down = False
            rig.clock.advance(READ_S)
            await eventually(lambda: rig.database.calls[store.beats] == 2 and rig.clock.sleepers)
            reaping.cancel()

    asyncio.run(run())
