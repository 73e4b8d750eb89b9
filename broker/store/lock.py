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
HOLDER = f"""
    select a.application_name from pg_locks l join pg_stat_activity a using (pid)
    where l.locktype = 'advisory' and l.granted
      and l.database = (select oid from pg_database where datname = current_database())
      and (l.classid::bigint << 32) + l.objid::bigint = {ADVISORY_KEY} limit 1
"""
"""The application name of whoever holds a PostgreSQL database: an advisory lock belongs to one database."""
_APPLICATION = "penstock: "


@asynccontextmanager
async def held(database: Database) -> AsyncIterator[None]:
    """Hold the database; raises `DatabaseBusy`, which names the holder."""
    match database:
        case SQLiteDatabase():
            with _file_held(database.path):
                yield
        case PostgresDatabase():
            async with _advisory_held(database):
                yield
        case _:
            raise TypeError(type(database))


@contextmanager
def _file_held(database: Path) -> Iterator[None]:
    file = os.open(lock_file(database), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _busy(database, file_holder(file)) from None
        os.ftruncate(file, 0)
        os.pwrite(file, _myself().encode(), 0)
        yield
    finally:
        os.close(file)


@asynccontextmanager
async def _advisory_held(database: PostgresDatabase) -> AsyncIterator[None]:
    url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        connection = await asyncpg.connect(url, server_settings={"application_name": f"{_APPLICATION}{_myself()}"[:63]})
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StoreUnavailable(f"{database.url.host}: {error}") from error
    try:
        if not await connection.fetchval("select pg_try_advisory_lock($1)", ADVISORY_KEY):
            raise _busy(database.url.database, in_words(await connection.fetchval(HOLDER)))
        yield
    finally:
        await connection.close()


def lock_file(database: Path) -> Path:
    """The file beside a SQLite database that its holder locks."""
    return database.with_name(database.name + ".lock")


def file_holder(file: int) -> str:
    """Whoever wrote its name into this open lock file, in words."""
    return in_words(os.pread(file, 200, 0).decode(errors="replace").strip())


def in_words(name: str | None) -> str:
    """The holder in words, from the name it gave itself."""
    return (name or "").removeprefix(_APPLICATION) or "another process"


def _busy(database: Path | str | None, holder: str) -> DatabaseBusy:
    return DatabaseBusy(f"{database} is in use by {holder}; wait for it, stop it, or name another --database")


def _myself() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"
