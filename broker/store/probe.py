"""Asks a database whether it is there."""

from sqlalchemy import Connection, text

from broker.store.engine import Database

_ANYTHING = text("select 1")


async def answers(database: Database) -> None:
    """Return when the database answers; raises `StoreUnavailable`."""
    await database.read(_ask)


def _ask(connection: Connection) -> None:
    connection.execute(_ANYTHING)
