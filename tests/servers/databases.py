"""Databases on a found PostgreSQL server: a migrated template per run, a fresh copy per test."""

import asyncio
import time
import uuid
from contextlib import ExitStack

import asyncpg

from broker.store import migrate
from broker.store.engine import open_database
from tests.servers import postgres
from tests.servers.finding import obtain

_PREFIX = "penstock_test"
_ABANDONED_S = 6 * 3600


def with_template(stack: ExitStack) -> dict[str, str]:
    """Find a server and make a migrated template database on it; the stack drops the template."""
    server = obtain("PostgreSQL", postgres.ways(), stack)
    asyncio.run(_drop_abandoned(server))
    template = create(server)
    stack.callback(drop, server, template)
    asyncio.run(_migrated(database_url(server, template)))
    return {"server": server, "template": template}


def database_url(server: str, name: str) -> str:
    """Return the URL of one database of a server."""
    scheme, _, rest = server.partition("://")
    return f"{scheme}://{rest.split('/')[0]}/{name}"


def create(server: str, template: str = "template0") -> str:
    """Create a database from a template; returns its name, which says when it was made."""
    name = f"{_PREFIX}_{int(time.time()):x}_{uuid.uuid4().hex[:12]}"  # noqa: TID251  # a name, no domain time
    asyncio.run(_execute(server, f"create database {name} template {template}"))
    return name


def drop(server: str, name: str) -> None:
    """Drop a database, whoever is still connected."""
    asyncio.run(_execute(server, f"drop database if exists {name} with (force)"))


async def _execute(server: str, statement: str) -> None:
    connection = await asyncpg.connect(server, timeout=10)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _migrated(url: str) -> None:
    database = open_database(url)
    try:
        await database.write(migrate.upgrade)
    finally:
        await database.close()


async def _drop_abandoned(server: str) -> None:
    """Remove what runs that were killed have left hours ago."""
    connection = await asyncpg.connect(server, timeout=10)
    try:
        for row in await connection.fetch("select datname from pg_database where datname like $1", f"{_PREFIX}_%"):
            made_at = int(row["datname"].split("_")[2], 16)
            if made_at < time.time() - _ABANDONED_S:  # noqa: TID251  # compared with the time in the name
                await connection.execute(f"drop database if exists {row['datname']} with (force)")
    finally:
        await connection.close()
