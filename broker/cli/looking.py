"""Reads what `penstock status` tells."""

from collections.abc import Sequence
from pathlib import Path

from broker.cli.crew import crews
from broker.cli.opened import existing
from broker.cli.outlook import Outlook
from broker.domain.batch import Batch, BatchState
from broker.domain.presence import Presence
from broker.errors import CallerError, ConfigError
from broker.settings import load
from broker.store import batches, manifest, scales
from broker.store.engine import Database, SQLiteDatabase
from broker.store.holder import holder
from broker.store.standing import played, standing, unfinished_on, unknown_calls
from broker.wiring.supply import all_routes

FEEDER = "feeder"


async def outlook_of(url: str, batch_id: int | None, config: Path) -> Outlook:
    """How this batch stands, or the newest; raises `CallerError` where there is none."""
    async with existing(url) as database:
        if batch_id is None:
            latest = await database.read(batches.newest, 1)
            if not latest:
                raise CallerError("no batches yet; `penstock run` or `penstock submit` makes one")
            batch_id = latest[0].id
        # Who holds it first: a process that ends in between has then ended the batch, or left it.
        held_by = await holder(database)
        feeder = await database.read(played, FEEDER)
        present = await database.read(scales.present)
        if isinstance(database, SQLiteDatabase) and held_by is None:
            present = []  # whoever is in the rows has died just now: the lock goes with its process
        batch = await database.read(batches.get, batch_id)
        return Outlook(
            batch=batch,
            standing=await database.read(standing, batch_id, batch.counts.finished),
            unknown=await database.read(unknown_calls, batch_id),
            holder=held_by,
            database_url=url,
            feeder=feeder,
            crews=crews(present),
            unserved=await _unserved(database, batch, present, config),
        )


async def _unserved(database: Database, batch: Batch, present: Sequence[Presence], config: Path) -> tuple[str, ...]:
    """Routes of unfinished rows that no live worker serves; none where the configuration does not tell."""
    alive = {process.account for process in present}
    if batch.state is not BatchState.RUNNING or not alive:
        return ()
    try:
        accounts = load(config).accounts
    except ConfigError:
        return ()  # not there, or another installation's; what is wrong with it, other commands say
    if alive - {account.name for account in accounts}:
        return ()
    served = all_routes(accounts, of=[account for account in accounts if account.name in alive])
    missing = sorted(set(await database.read(manifest.routes, batch.id)) - served)
    return tuple([route for route in missing if await database.read(unfinished_on, batch.id, [route])])
