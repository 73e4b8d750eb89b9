"""Opens a database that must be there, to look at it: nothing is created, migrated or locked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from broker.errors import ConfigError
from broker.store import migrate
from broker.store.engine import Database, SQLiteDatabase, open_database


@asynccontextmanager
async def existing(url: str, *, checked: bool = True) -> AsyncIterator[Database]:
    """The database at this URL, with the schema of this version (if `checked`).

    Raises `ConfigError` where there is none, `SchemaTooOld`, `SchemaTooNew` and `StoreUnavailable`.
    """
    database = open_database(url)
    try:
        # Opening a file that is not there would make it.
        if isinstance(database, SQLiteDatabase) and not database.path.is_file():
            raise ConfigError(
                f"there is no database {database.path}; `penstock run` makes it, --database names another"
            )
        if checked:
            await database.read(migrate.check)
        yield database
    finally:
        await database.close()
