"""A worker's life sign."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, select

from broker.errors import StoreUnavailable
from broker.store import workers as store
from broker.store.claim import HEARTBEAT_FRESH_S
from broker.store.engine import open_database
from broker.store.tables import workers as workers_table
from broker.store.workers import Signs
from broker.testing.manual_clock import ManualClock
from broker.testing.outages import FragileDatabase, eventually
from workers.heartbeat import BEAT_S, Heartbeat


@asynccontextmanager
async def rigged(url: str) -> AsyncIterator[tuple[FragileDatabase, ManualClock, Heartbeat]]:
    database = FragileDatabase(open_database(url))
    clock = ManualClock()
    try:
        yield database, clock, Heartbeat(database, "w", "team-a", clock)
    finally:
        await database.close()


def row(connection: Connection) -> dict[str, Any]:
    return dict(connection.execute(select(workers_table)).one()._mapping)


def test_nobody_is_fresh_before_being_registered(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as (database, _, heartbeat):
            assert not heartbeat.fresh
            await heartbeat.register()
            assert heartbeat.fresh
            assert (await database.read(row))["account"] == "team-a"

    asyncio.run(run())


def test_a_registration_that_fails_is_an_error(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as (database, _, heartbeat):
            database.down = True
            with pytest.raises(StoreUnavailable):
                await heartbeat.register()
            assert not heartbeat.fresh

    asyncio.run(run())


def test_a_life_sign_is_fresh_for_fifteen_seconds(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as (_, clock, heartbeat):
            await heartbeat.register()
            clock.advance(HEARTBEAT_FRESH_S - 0.001)
            assert heartbeat.fresh
            clock.advance(0.001)
            assert not heartbeat.fresh
            assert await heartbeat.beat(Signs(in_flight=3))
            assert heartbeat.fresh

    asyncio.run(run())


def test_a_beat_that_is_not_confirmed_renews_nothing(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as (database, clock, heartbeat):
            await heartbeat.register()
            clock.advance(10)
            database.down = True
            assert not await heartbeat.beat(Signs(in_flight=0))
            assert heartbeat.fresh
            clock.advance(5)
            assert not heartbeat.fresh

    asyncio.run(run())


def test_a_beat_whose_answer_was_lost_renews_nothing(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as (database, clock, heartbeat):
            await heartbeat.register()
            clock.advance(HEARTBEAT_FRESH_S)
            database.losing.add(store.beat)
            assert not await heartbeat.beat(Signs(in_flight=0))
            assert not heartbeat.fresh

    asyncio.run(run())


def test_a_slow_beat_counts_from_when_it_was_sent(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as (database, clock, heartbeat):
            await heartbeat.register()
            database.before = lambda _: clock.advance(10)
            await heartbeat.beat(Signs(in_flight=0))
            clock.advance(5)
            assert not heartbeat.fresh

    asyncio.run(run())


def test_it_beats_every_five_seconds_and_says_what_is_in_flight(sqlite_url: str) -> None:
    async def run() -> None:
        async with (
            rigged(sqlite_url) as (database, clock, heartbeat),
            asyncio.timeout(30),
            asyncio.TaskGroup() as tasks,
        ):
            await heartbeat.register()
            compared: list[int] = []
            beating = tasks.create_task(heartbeat.run(lambda: Signs(in_flight=7), _noting(compared)))
            for beats in range(1, 4):
                await eventually(lambda: clock.sleepers)
                clock.advance(BEAT_S)
                await eventually(lambda beats=beats: len(compared) == beats)  # type: ignore[misc]
            found = await database.read(row)
            assert (found["beats"], found["in_flight"]) == (3, 7)
            beating.cancel()

    asyncio.run(run())


def test_attempts_are_compared_only_after_a_beat_that_was_confirmed(sqlite_url: str) -> None:
    async def run() -> None:
        async with (
            rigged(sqlite_url) as (database, clock, heartbeat),
            asyncio.timeout(30),
            asyncio.TaskGroup() as tasks,
        ):
            await heartbeat.register()
            compared: list[int] = []
            beating = tasks.create_task(heartbeat.run(lambda: Signs(in_flight=0), _noting(compared)))
            database.failing.add(store.beat)
            await eventually(lambda: clock.sleepers)
            clock.advance(BEAT_S)
            await eventually(lambda: database.calls[store.beat] == 1 and clock.sleepers)
            assert compared == []
            database.failing.clear()
            clock.advance(BEAT_S)
            await eventually(lambda: compared)
            beating.cancel()

    asyncio.run(run())


def _noting(compared: list[int]) -> Callable[[], Any]:
    async def compare() -> None:
        compared.append(1)

    return compare
