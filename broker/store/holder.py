"""Who holds a database, found out without holding it."""

import fcntl
import os
from pathlib import Path

from sqlalchemy import Connection

from broker.store.engine import Database, PostgresDatabase, SQLiteDatabase
from broker.store.lock import HOLDER, file_holder, in_words, lock_file


async def holder(database: Database) -> str | None:
    """The process that runs batches of this database, in words; `None`: there is none. Raises `StoreUnavailable`."""
    match database:
        case SQLiteDatabase():
            return _unless_free(lock_file(database.path))
        case PostgresDatabase():
            return await database.read(_advisory_holder)
        case _:
            raise TypeError(type(database))


def _unless_free(path: Path) -> str | None:
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    except PermissionError:
        return in_words(None)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return file_holder(file)
    else:
        return None
    finally:
        os.close(file)


def _advisory_holder(connection: Connection) -> str | None:
    name = connection.exec_driver_sql(HOLDER).scalar_one_or_none()
    return None if name is None else in_words(name)
