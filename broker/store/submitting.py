"""One process at a time reads a submission in: two that send the same would store the same segments."""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg

from broker.errors import StoreUnavailable
from broker.store import lock
from broker.store.engine import Database, PostgresDatabase, SQLiteDatabase

_CLASS = 0x73756264
"""Advisory locks of two numbers never meet those of one, such as the lock of the embedded mode."""


@asynccontextmanager
async def submitting(
    database: Database, project: str, submission_id: str, *, waiting: Callable[[], None] = lambda: None
) -> AsyncIterator[None]:
    """Hold one submission for as long as the block runs.

    On PostgreSQL other submissions go on beside it; where another process holds this very one, `waiting` is called
    and its end is awaited. On SQLite the database is held whole: raises `DatabaseBusy` while `penstock run` does.
    """
    match database:
        case SQLiteDatabase():
            async with lock.held(database):
                yield
        case PostgresDatabase():
            async with _advisory_held(database, _number(project, submission_id), waiting):
                yield
        case _:
            raise TypeError(type(database))


@asynccontextmanager
async def _advisory_held(database: PostgresDatabase, number: int, waiting: Callable[[], None]) -> AsyncIterator[None]:
    url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with _lost(database):
        connection = await asyncpg.connect(url, server_settings={"application_name": "penstock submit"})
    try:
        with _lost(database):
            if not await connection.fetchval("select pg_try_advisory_lock($1, $2)", _CLASS, number):
                waiting()
                await connection.execute("select pg_advisory_lock($1, $2)", _CLASS, number)
        yield
    finally:
        await connection.close()


@contextmanager
def _lost(database: PostgresDatabase) -> Iterator[None]:
    try:
        yield
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StoreUnavailable(f"{database.url.host}: {error}") from error


def _number(project: str, submission_id: str) -> int:
    digest = hashlib.sha256(f"{project}\0{submission_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big", signed=True)
