"""A role is played by one process at a time, and taken over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import Connection, update

from broker.store import elections
from broker.store.elections import LEASE_S, Deposed
from broker.store.engine import Database, Operation, P, T, open_database
from broker.store.tables import elections as table
from broker.testing.manual_clock import ManualClock
from broker.testing.outages import FragileDatabase, eventually
from broker.wiring.elected import RENEW_S, Elected


def _let_pass(connection: Connection, seconds: float) -> None:
    connection.execute(update(table).values(renewed_at=table.c.renewed_at - seconds))


class Player:
    """Plays until it is stopped, and remembers what it was given."""

    def __init__(self, database: Database, clock: ManualClock, name: str) -> None:
        self.plays: list[Database] = []
        self.playing = False
        self.elected = Elected(database, "feeder", name, clock, self._play)

    async def _play(self, database: Database) -> None:
        self.plays.append(database)
        self.playing = True
        try:
            await asyncio.Event().wait()
        finally:
            self.playing = False


class Silent(FragileDatabase):
    """A database that may take elections and say nothing, as one does whose network is gone."""

    silent = False

    async def write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self.silent and operation is elections.stand:
            self.calls[operation] += 1
            await asyncio.Event().wait()
        return await super().write(operation, *args, **kwargs)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[FragileDatabase]:
    database = FragileDatabase(open_database(url))
    try:
        async with asyncio.timeout(30):
            yield database
    finally:
        await database.close()


def test_one_plays_and_when_it_stops_the_other_follows_at_once(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, asyncio.TaskGroup() as tasks:
            clock = ManualClock()
            first, second = Player(database, clock, "first"), Player(database, clock, "second")
            playing = tasks.create_task(first.elected.run())
            await eventually(lambda: first.playing)
            waiting = tasks.create_task(second.elected.run())
            await eventually(lambda: clock.sleepers)
            assert not second.playing
            playing.cancel()
            await asyncio.wait([playing])
            assert not first.playing
            clock.advance(RENEW_S)
            await eventually(lambda: second.playing)
            waiting.cancel()

    asyncio.run(run())


def test_the_writes_of_one_that_was_followed_are_refused(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, asyncio.TaskGroup() as tasks:
            clock = ManualClock()
            first = Player(database, clock, "first")
            playing = tasks.create_task(first.elected.run())
            await eventually(lambda: first.playing)
            (fenced,) = first.plays
            await fenced.write(_let_pass, 0.0)
            await database.write(_let_pass, LEASE_S + 1)
            assert await database.write(elections.stand, "feeder", "second", None) == 2
            try:
                await fenced.write(_let_pass, 0.0)
            except Deposed:
                refused = True
            else:
                refused = False
            assert refused
            playing.cancel()

    asyncio.run(run())


def test_one_that_is_not_confirmed_in_time_stops_before_another_may_begin(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, asyncio.TaskGroup() as tasks:
            clock = ManualClock()
            player = Player(database, clock, "first")
            running = tasks.create_task(player.elected.run())
            await eventually(lambda: player.playing)
            database.failing.add(elections.stand)
            await eventually(lambda: clock.sleepers)
            clock.advance(LEASE_S - 0.5)
            await eventually(lambda: not player.playing)
            await eventually(lambda: clock.sleepers)
            database.failing.clear()
            clock.advance(RENEW_S)
            await eventually(lambda: player.playing)
            assert len(player.plays) == 2
            running.cancel()

    asyncio.run(run())


def test_one_that_the_database_leaves_without_an_answer_stops_before_another_may_begin(sqlite_url: str) -> None:
    async def run() -> None:
        database = Silent(open_database(sqlite_url))
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            clock = ManualClock()
            player = Player(database, clock, "first")
            running = tasks.create_task(player.elected.run())
            await eventually(lambda: player.playing)
            database.silent = True
            asked = database.calls[elections.stand]
            await eventually(lambda: clock.sleepers)
            clock.advance(RENEW_S)
            await eventually(lambda: database.calls[elections.stand] > asked)
            assert player.playing
            clock.advance(LEASE_S - RENEW_S - 0.5)
            await eventually(lambda: not player.playing)
            running.cancel()
        await database.close()

    asyncio.run(run())
