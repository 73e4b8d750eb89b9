"""Who holds a PostgreSQL database keeps it through outages, or learns that another has it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import Connection

from broker.errors import ConfigError, DatabaseBusy
from broker.store.engine import Database, open_database
from broker.store.lock import ADVISORY_KEY, FLEET_KEY, fleet_member, held

HOLDERS = f"""
    select pid from pg_locks where locktype = 'advisory' and granted
      and database = (select oid from pg_database where datname = current_database())
      and (classid::bigint << 32) + objid::bigint in ({ADVISORY_KEY}, {FLEET_KEY})
"""


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = open_database(url)
    try:
        async with asyncio.timeout(60):
            yield database
    finally:
        await database.close()


def pids(connection: Connection) -> set[int]:
    return {row[0] for row in connection.exec_driver_sql(HOLDERS)}


def cut(connection: Connection) -> set[int]:
    """Cut the connections of all holders, as a restart of the server does."""
    found = pids(connection)
    for pid in found:
        connection.exec_driver_sql(f"select pg_terminate_backend({pid})")
    return found


async def until_held_again(database: Database, before: set[int]) -> None:
    while not await database.read(pids) - before:  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.02)


def test_a_second_run_is_refused_and_told_who_has_it(postgres_url: str) -> None:
    async def run() -> None:
        async with opened(postgres_url) as database, held(database):
            with pytest.raises(DatabaseBusy, match="is in use by process"):
                async with held(database):
                    pass

    asyncio.run(run())


def test_a_holder_whose_connection_was_cut_holds_it_again(postgres_url: str) -> None:
    async def run() -> None:
        async with opened(postgres_url) as database, held(database):
            await until_held_again(database, await database.write(cut))
            with pytest.raises(DatabaseBusy):
                async with held(database):
                    pass

    asyncio.run(run())


def test_a_holder_that_another_has_followed_after_an_outage_is_stopped(postgres_url: str) -> None:
    async def holding(database: Database, begun: asyncio.Event) -> None:
        async with held(database):
            begun.set()
            await asyncio.Event().wait()

    async def run() -> None:
        async with opened(postgres_url) as database, asyncio.TaskGroup() as tasks:
            begun = asyncio.Event()
            first = tasks.create_task(_error_of(holding(database, begun)))
            await begun.wait()
            await database.write(cut)
            async with held(database):
                assert isinstance(await first, DatabaseBusy)

    asyncio.run(run())


def test_a_fleet_has_many_members_and_no_run_beside_it(postgres_url: str) -> None:
    async def run() -> None:
        async with opened(postgres_url) as database:
            async with fleet_member(database), fleet_member(database):
                with pytest.raises(DatabaseBusy, match="a fleet works on"):
                    async with held(database):
                        pass
                async with held(database, beside_fleet=True):
                    pass
            async with held(database):
                with pytest.raises(DatabaseBusy, match="is in use by process"):
                    async with fleet_member(database):
                        pass

    asyncio.run(run())


def test_a_fleet_needs_a_server(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            with pytest.raises(ConfigError, match="needs PostgreSQL"):
                async with fleet_member(database):
                    pass

    asyncio.run(run())


async def _error_of(work: Coroutine[None, None, None]) -> Exception | None:
    try:
        await work
    except DatabaseBusy as error:
        return error
    return None
