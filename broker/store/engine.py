"""Runs store operations: plain functions over a SQLAlchemy `Connection`, one transaction each.

The same function serves both databases. On SQLite it runs whole in the one writer thread (never statement by
statement, which would hold the write lock across event loop turns); on PostgreSQL it runs on an asyncpg
connection. So an operation must not block on anything but its connection, and must be safe to send again.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import asyncpg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DataError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from broker.errors import ConfigError, StoreError, StoreRefused, StoreUnavailable

P = ParamSpec("P")
T = TypeVar("T")
Operation = Callable[Concatenate[Connection, P], T]

_LOST = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
_REFUSED = (IntegrityError, DataError, OverflowError, UnicodeError)
"""The values are at fault. SQLite raises OverflowError for a number above 64 bits, UnicodeError for surrogates."""
_AT_FAULT = ("22", "23", "54")
"""Classes of SQLSTATE that say the same: the data, a constraint, a size.

SQLAlchemy has no exception of its own for the first and the last of asyncpg; asyncpg gives the first also to what it
could not encode.
"""
_WAL_TRIES = 100


class Database(Protocol):
    """Where operations run. A failure arrives as `StoreUnavailable`, values it cannot take as `StoreRefused`."""

    url: URL

    async def write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one operation in a transaction of its own, committed (durably) when this returns."""
        ...

    async def read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one operation that only reads, without waiting for writers."""
        ...

    async def close(self) -> None:
        """Finish what runs, then close every connection."""
        ...


class SQLiteDatabase:
    """WAL with full synchronisation: one thread writes, another reads."""

    def __init__(self, url: URL, path: Path) -> None:
        self.url = url
        self.path = path
        self._writer = _SQLiteThread(url, "writer", begin="BEGIN IMMEDIATE", cache_mib=32)
        self._reader = _SQLiteThread(url, "reader", begin="BEGIN", cache_mib=8)

    async def write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._writer.run(operation, *args, **kwargs)

    async def read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._reader.run(operation, *args, **kwargs)

    async def close(self) -> None:
        await self._reader.close()
        await self._writer.close()


class _SQLiteThread:
    """One thread with one connection."""

    def __init__(self, url: URL, name: str, *, begin: str, cache_mib: int) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sqlite-{name}")
        self._engine = _sqlite_engine(url, begin, cache_mib)

    async def run(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        # A caller that is cancelled stops waiting; the operation itself runs to its commit.
        call = self._thread.submit(self._in_transaction, lambda connection: operation(connection, *args, **kwargs))
        return await asyncio.shield(asyncio.wrap_future(call))

    def _in_transaction(self, operation: Callable[[Connection], T]) -> T:
        try:
            with self._engine.begin() as connection:
                return operation(connection)
        except (*_LOST, *_REFUSED) as error:
            raise _failure(error) from error

    async def close(self) -> None:
        await asyncio.wrap_future(self._thread.submit(self._engine.dispose))
        self._thread.shutdown(wait=False)


def _sqlite_engine(url: URL, begin: str, cache_mib: int) -> Engine:
    engine = create_engine(url, pool_size=1, max_overflow=0)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        connection.execute("PRAGMA busy_timeout = 30000")
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{cache_mib * 1024}")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _use_wal(connection: sqlite3.Connection) -> None:
    """Turn write-ahead logging on; for a new file that takes a lock which no busy timeout waits for."""
    for _ in range(_WAL_TRIES):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            time.sleep(0.05)  # in a database thread, and only while another process makes the same file
        else:
            return
    connection.execute("PRAGMA journal_mode = WAL")


class PostgresDatabase:
    """READ COMMITTED on asyncpg; plans are settled once, for any table size."""

    def __init__(self, url: URL, connections: int) -> None:
        self.url = url
        self._engine: AsyncEngine = create_async_engine(
            url,
            pool_size=connections,
            max_overflow=connections,
            pool_pre_ping=False,
            connect_args={
                "timeout": 10,
                "command_timeout": 60,
                "server_settings": {
                    "application_name": "penstock",
                    # A plan made while the tables were empty would stay; see docs/explanation/ledger.md.
                    "plan_cache_mode": "force_generic_plan",
                    "enable_seqscan": "off",
                    "jit": "off",
                },
            },
        )

    async def write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            async with self._engine.begin() as connection:
                return await connection.run_sync(lambda inner: operation(inner, *args, **kwargs))
        except (*_LOST, *_REFUSED, TimeoutError) as error:
            raise _failure(error) from error

    read = write

    async def close(self) -> None:
        await self._engine.dispose()


def open_database(url: str, *, connections: int = 8) -> Database:
    """`sqlite:///PATH` or `postgresql://…`; raises `ConfigError` for anything else.

    A server's `connections` are kept open once they were needed; as many more are made for a moment.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        # The URL itself is not shown: it may hold a password
        raise ConfigError("--database: that is no database URL; use sqlite:///PATH or postgresql://…") from error
    match parsed.get_backend_name():
        case "sqlite" if parsed.database and parsed.database != ":memory:":
            return SQLiteDatabase(parsed.set(drivername="sqlite+pysqlite"), Path(parsed.database).resolve())
        case "sqlite":
            raise ConfigError("--database: an in-memory database would lose paid answers; use sqlite:///PATH")
        case "postgresql":
            return PostgresDatabase(parsed.set(drivername="postgresql+asyncpg"), connections)
        case other:
            raise ConfigError(f"--database: {other} is not supported; use sqlite:///PATH or postgresql://…")


def database_files(url: str) -> tuple[Path, ...]:
    """The files of a database in files; none for a server, nor for what `open_database` refuses."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        return ()
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return ()
    path = Path(parsed.database).resolve()
    return tuple(path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm", "-journal", ".lock"))


def _failure(error: BaseException) -> StoreError:
    """Whether it is worth trying again, or never."""
    sqlstate = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    refused = isinstance(error, _REFUSED) or sqlstate[:2] in _AT_FAULT
    return (StoreRefused if refused else StoreUnavailable)(_first_line(error))


def _first_line(error: BaseException) -> str:
    origin = getattr(error, "orig", None) or error
    return f"{type(origin).__name__}: {str(origin).strip().partition(chr(10))[0]}"[:300]
