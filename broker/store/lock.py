"""One process at a time: the embedded mode holds its database exclusively, and frees it by dying."""

import asyncio
import fcntl
import os
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg

from broker.errors import ConfigError, DatabaseBusy, StoreUnavailable
from broker.store.engine import Database, PostgresDatabase, SQLiteDatabase

ADVISORY_KEY = 0x70656E73746F636B  # "penstock"
FLEET_KEY = 0x666C656574  # "fleet"
HOLDER = f"""
    select a.application_name from pg_locks l join pg_stat_activity a using (pid)
    where l.locktype = 'advisory' and l.granted
      and l.database = (select oid from pg_database where datname = current_database())
      and (l.classid::bigint << 32) + l.objid::bigint = {ADVISORY_KEY} limit 1
"""
"""The application name of whoever holds a PostgreSQL database: an advisory lock belongs to one database."""
_APPLICATION = "penstock: "
_LOOK_S = 1.0
_LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


@asynccontextmanager
async def held(database: Database, *, beside_fleet: bool = False) -> AsyncIterator[None]:
    """Hold the database; raises `DatabaseBusy`, which names the holder.

    A fleet that works on it is in the way, unless `beside_fleet`.
    """
    match database:
        case SQLiteDatabase():
            with _file_held(database.path):
                yield
        case PostgresDatabase():
            keys = (ADVISORY_KEY,) if beside_fleet else (ADVISORY_KEY, FLEET_KEY)
            async with _AdvisoryLock(database, exclusive=keys).held():
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
async def fleet_member(database: Database) -> AsyncIterator[None]:
    """Belong to the fleet of a PostgreSQL database: many may, and no `penstock run` beside them.

    Raises `DatabaseBusy` while one runs, and `ConfigError` for a database in a file.
    """
    if not isinstance(database, PostgresDatabase):
        raise ConfigError("[broker] database: a fleet needs PostgreSQL; `penstock run` works on SQLite")
    lock = _AdvisoryLock(database, shared=(FLEET_KEY,))
    async with lock.held():
        yield


class _AdvisoryLock:
    """Locks of one connection. When that is lost the locks are taken again, before anybody else has noticed."""

    def __init__(
        self, database: PostgresDatabase, *, exclusive: Sequence[int] = (), shared: Sequence[int] = ()
    ) -> None:
        self._database = database
        self._locks = [("pg_try_advisory_lock", key) for key in exclusive]
        self._locks += [("pg_try_advisory_lock_shared", key) for key in shared]
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Hold them; raises `DatabaseBusy`, also later, where another process was faster after an outage."""
        await self._take()
        holder = asyncio.current_task()
        watching = asyncio.get_running_loop().create_task(self._watch())

        def lost(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and holder is not None:
                holder.cancel()

        watching.add_done_callback(lost)
        try:
            yield
        except asyncio.CancelledError:
            if not watching.done() or watching.cancelled() or (holder is not None and holder.uncancel()):
                raise
            raise watching.exception() or AssertionError from None
        finally:
            watching.remove_done_callback(lost)
            watching.cancel()
            await asyncio.wait({watching})
            await self._close()

    async def _take(self) -> None:
        url = self._database.url.set(drivername="postgresql").render_as_string(hide_password=False)
        name = f"{_APPLICATION}{_myself()}"[:63]
        try:
            self._connection = await asyncpg.connect(url, timeout=10, server_settings={"application_name": name})
            for function, key in self._locks:
                if not await self._connection.fetchval(f"select {function}($1)", key):
                    raise self._refused(key, await self._connection.fetchval(HOLDER))
        except _LOST as error:
            await self._close()
            raise StoreUnavailable(f"{self._database.url.host}: {error}") from error
        except DatabaseBusy:
            await self._close()
            raise

    def _refused(self, key: int, holder: str | None) -> DatabaseBusy:
        if key == FLEET_KEY and ("pg_try_advisory_lock", key) in self._locks:
            return DatabaseBusy(
                f"a fleet works on {self._database.url.database}; `penstock submit` gives it a batch, or name another "
                "--database"
            )
        return _busy(self._database.url.database, in_words(holder))

    async def _watch(self) -> None:
        """Return never; raises `DatabaseBusy` when the locks are another's."""
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                if self._connection is None:
                    await self._take()
                else:
                    await self._connection.fetchval("select 1", timeout=_LOOK_S)
            except (StoreUnavailable, TimeoutError, *_LOST):
                await self._close()

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


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
