"""Seals open batches for which no more jobs came for as long as their producers said."""

import logging

from broker.domain.clock import Clock
from broker.errors import StoreUnavailable
from broker.store import submissions
from broker.store.engine import Database

log = logging.getLogger("penstock.sealer")

LOOK_S = 1.0


async def run(database: Database, clock: Clock) -> None:
    """Look for batches whose time has come, until cancelled."""
    while True:
        try:
            for batch_id in await database.write(submissions.seal_due):
                log.info("batch %d is sealed: no more jobs came", batch_id)
        except StoreUnavailable as error:
            log.warning("batches could not be sealed: %s", error)
        await clock.sleep(LOOK_S)
