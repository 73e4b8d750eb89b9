"""`penstock db`: the schema of a database."""

import typer

from broker.cli.options import DEFAULT_DATABASE, DatabaseUrl

database_app = typer.Typer(help="The schema of the database.", no_args_is_help=True)


@database_app.command("upgrade")
def upgrade(*, database: DatabaseUrl = DEFAULT_DATABASE) -> None:
    """Bring a database to the schema of this version, while no process runs on it. An empty one is prepared.

    `penstock run` does the same by itself.
    """
    import asyncio

    before, after = asyncio.run(_upgrade(database))
    if before == after:
        typer.echo(f"the schema is up to date ({after})")
    else:
        typer.echo(f"the schema went from {before or 'nothing'} to {after}")


@database_app.command("current")
def current(*, database: DatabaseUrl = DEFAULT_DATABASE) -> None:
    """Show which schema a database has, and which one this version needs. Changes nothing."""
    import asyncio

    has, needs = asyncio.run(_compared(database))
    remedy = "" if has == needs else "; `penstock db upgrade` brings it there"
    typer.echo(f"the database has schema {has or 'nothing'}, this version needs {needs}{remedy}")


async def _upgrade(url: str) -> tuple[str | None, str]:
    from broker.store import lock, migrate
    from broker.store.engine import open_database

    database = open_database(url)
    try:
        async with lock.held(database, beside_fleet=True):
            return await database.write(migrate.upgrade)
    finally:
        await database.close()


async def _compared(url: str) -> tuple[str | None, str]:
    from broker.cli.opened import existing
    from broker.store import migrate

    async with existing(url, checked=False) as database:
        return await database.read(migrate.compared)
