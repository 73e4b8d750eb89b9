"""The number of processes follows the database, on both kinds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import Connection, update

from broker.domain.account import Account, Autoscale
from broker.store import scales
from broker.store import workers as store
from broker.store.engine import open_database
from broker.store.tables import workers
from broker.testing.builders import MODEL, a_batch
from broker.testing.manual_clock import ManualClock
from broker.testing.outages import FragileDatabase
from tests.engines import an_account
from workers.autoscale import GROW_AFTER_S, SHRINK_AFTER_S
from workers.scaling import LOAD_LOOK_S, Scaling

FIXED = an_account(name="fixed", workers=2)
FREE = an_account(name="free", workers=2, autoscale=Autoscale(min=1, max=3), models={MODEL: MODEL})


class Rig:
    """A database, and the processes that are there."""

    def __init__(self, database: FragileDatabase) -> None:
        self.database = database
        self.clock = ManualClock()
        self.scaling = Scaling(database, self.clock)
        self.in_flight = 8
        """Of the eight slots of each process."""

    async def after(self, seconds: float, account: Account) -> int:
        """How many are wanted when every one that is wanted has been there for so long, looked at each second."""
        for _ in range(int(seconds) + 1):
            wanted = self.scaling.wanted(account)
            await self.database.write(_are_there, account.name, wanted, self.in_flight)
            await self.scaling.look([FIXED, account], {account.name: wanted})
            self.clock.advance(1.0)
        return self.scaling.wanted(account)


def _are_there(connection: Connection, account: str, number: int, in_flight: int) -> None:
    connection.execute(workers.delete())
    for worker_id in map(str, range(number)):
        store.register(connection, worker_id, account)
    connection.execute(update(workers).values(in_flight=in_flight, slots=8, busy=0.1))


@asynccontextmanager
async def rigged(url: str) -> AsyncIterator[Rig]:
    database = FragileDatabase(open_database(url))
    try:
        yield Rig(database)
    finally:
        await database.close()


def test_without_a_word_it_is_what_is_configured(database_url: str) -> None:
    async def scenario() -> None:
        async with rigged(database_url) as rig:
            assert [rig.scaling.wanted(account) for account in (FIXED, FREE)] == [2, 2]
            await rig.database.write(scales.ask, {"fixed": 5, "free": 9})
            assert await rig.after(0, FREE) == 9  # an operator may go beyond the bounds
            assert rig.scaling.wanted(FIXED) == 5
            await rig.database.write(scales.ask, {"fixed": None, "free": None})
            assert await rig.after(0, FREE) == 3  # from where it was, within the bounds
            assert rig.scaling.wanted(FIXED) == 2

    asyncio.run(scenario())


def test_processes_that_are_full_get_company_while_jobs_wait(database_url: str) -> None:
    async def scenario() -> None:
        async with rigged(database_url) as rig:
            assert await rig.after(2 * GROW_AFTER_S, FREE) == 2  # nothing waits
            await rig.database.write(a_batch, 3)
            assert await rig.after(GROW_AFTER_S + LOAD_LOOK_S, FREE) == 3
            assert rig.scaling.wanted(FIXED) == 2
            assert await rig.after(3 * GROW_AFTER_S, FREE) == 3

    asyncio.run(scenario())


def test_jobs_that_another_account_serves_call_for_nothing(database_url: str) -> None:
    async def scenario() -> None:
        async with rigged(database_url) as rig:
            await rig.database.write(a_batch, 3)
            other = an_account(name="free", workers=1, autoscale=Autoscale(min=1, max=3), models={"x": "x"})
            assert await rig.after(3 * GROW_AFTER_S, other) == 1

    asyncio.run(scenario())


def test_idle_processes_go_one_after_the_other(database_url: str) -> None:
    async def scenario() -> None:
        async with rigged(database_url) as rig:
            rig.in_flight = 0
            assert await rig.after(SHRINK_AFTER_S - LOAD_LOOK_S, FREE) == 2
            assert await rig.after(2 * LOAD_LOOK_S, FREE) == 1
            assert await rig.after(2 * SHRINK_AFTER_S, FREE) == 1

    asyncio.run(scenario())


def test_while_processes_are_starting_nothing_is_decided(database_url: str) -> None:
    async def scenario() -> None:
        async with rigged(database_url) as rig:
            await rig.database.write(a_batch, 3)
            await rig.database.write(_are_there, FREE.name, 2, 8)
            for _ in range(int(3 * GROW_AFTER_S)):
                await rig.scaling.look([FREE], {FREE.name: 1})
                rig.clock.advance(1.0)
            assert rig.scaling.wanted(FREE) == 2

    asyncio.run(scenario())


def test_during_an_outage_the_numbers_stay(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with rigged(database_url) as rig:
            await rig.database.write(scales.ask, {"fixed": 5})
            await rig.after(0, FREE)
            rig.database.down = True
            for _ in range(3):
                await rig.scaling.look([FIXED], {})
            assert rig.scaling.wanted(FIXED) == 5
            assert rig.scaling.trouble() == "taken away by the test"
            rig.database.down = False
            await rig.after(0, FREE)
            assert rig.scaling.trouble() is None
        assert caplog.text.count("does not answer") == 1

    asyncio.run(scenario())
