"""Who holds a database, found out without holding it."""

import fcntl
import os
from pathlib import Path

from sqlalchemy import Connection, text

from broker.store.engine import Database, PostgresDatabase, SQLiteDatabase
from broker.store.lock import ADVISORY_KEY

_HOLDER = text(
    """
    select a.application_name from pg_locks l join pg_stat_activity a using (pid)
    where l.locktype = 'advisory' and l.granted
      and l.database = (select oid from pg_database where datname = current_database())
      and (l.classid::bigint << 32) + l.objid::bigint = :key limit 1
    """
)
_NAMELESS = "another process"


async def holder(database: Database) -> str | None:
    """The process that runs batches of this database, in words; `None`: there is none. Raises `StoreUnavailable`."""
    match database:
        case SQLiteDatabase():
            return _file_holder(database.path.with_name(database.path.name + ".lock"))
        case PostgresDatabase():
            return await database.read(_advisory_holder)
        case _:
            raise TypeError(type(database))


def _file_holder(path: Path) -> str | None:
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    except PermissionError:
        return _NAMELESS
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(file, 200, 0).decode(errors="replace").strip() or _NAMELESS
    else:
        return None
    finally:
        os.close(file)


def _advisory_holder(connection: Connection) -> str | None:
    name = connection.execute(_HOLDER, {"key": ADVISORY_KEY}).scalar_one_or_none()
    return None if name is None else str(name).removeprefix("penstock: ") or _NAMELESS
