"""One process at a time: the embedded mode holds its database exclusively, and frees it by dying."""

import fcntl
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg

from broker.errors import DatabaseBusy, StoreUnavailable
from broker.store.engine import Database, PostgresDatabase, SQLiteDatabase

ADVISORY_KEY = 0x70656E73746F636B  # "penstock"


@asynccontextmanager
async def held(database: Database) -> AsyncIterator[None]:
    """Hold the database; raises `DatabaseBusy`, which names the holder."""
    match database:
        case SQLiteDatabase():
            with _file_held(database.path.with_name(database.path.name + ".lock")):
                yield
        case PostgresDatabase():
            async with _advisory_held(database):
                yield
        case _:
            raise TypeError(type(database))


@contextmanager
def _file_held(path: Path) -> Iterator[None]:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 200, 0).decode(errors="replace").strip() or "another process"
            raise DatabaseBusy(
                f"{path.with_suffix('')} is in use by {holder}; wait for it, stop it, or name another --database"
            ) from None
        os.ftruncate(file, 0)
        os.pwrite(file, _myself().encode(), 0)
        yield
    finally:
        os.close(file)


@asynccontextmanager
async def _advisory_held(database: PostgresDatabase) -> AsyncIterator[None]:
    url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        connection = await asyncpg.connect(url, server_settings={"application_name": f"penstock: {_myself()}"[:63]})
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StoreUnavailable(f"{database.url.host}: {error}") from error
    try:
        if not await connection.fetchval("select pg_try_advisory_lock($1)", ADVISORY_KEY):
            holder = await connection.fetchval(
                """
                select a.application_name from pg_locks l join pg_stat_activity a using (pid)
                where l.locktype = 'advisory' and l.granted
                  and (l.classid::bigint << 32) + l.objid::bigint = $1 limit 1
                """,
                ADVISORY_KEY,
            )
            raise DatabaseBusy(
                f"{database.url.database} is in use by {holder or 'another process'}; "
                "wait for it, stop it, or name another --database"
            )
        yield
    finally:
        await connection.close()


def _myself() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"
