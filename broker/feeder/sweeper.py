"""Gives the jobs of cancelled batches their results, in chunks of one segment."""

import logging

from broker.domain.batch import TERMINAL, BatchState
from broker.domain.clock import Clock
from broker.errors import StoreUnavailable
from broker.store import batches, manifest
from broker.store.engine import Database
from broker.store.finish import sweep

log = logging.getLogger("penstock.sweeper")

LOOK_S = 1.0


async def sweep_batch(database: Database, batch_id: int) -> bool:
    """Finish every job that is not being called; returns whether the batch has come to its end.

    Calls in flight still report. Once they have, another round ends the batch.
    """
    for row in await database.read(manifest.segment_rows, batch_id):
        if await database.read(manifest.finished_within, row) < row.jobs:
            await database.write(sweep, batch_id, row.number)
    return (await database.read(batches.get, batch_id)).state in TERMINAL


async def run(database: Database, clock: Clock) -> None:
    """Look for cancelled batches until cancelled."""
    while True:
        try:
            for batch in await database.read(batches.in_state, BatchState.CANCELLING):
                await sweep_batch(database, batch.id)
        except StoreUnavailable as error:
            log.warning("cancelled batches could not be swept: %s", error)
        await clock.sleep(LOOK_S)
