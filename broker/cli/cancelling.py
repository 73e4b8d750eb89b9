"""Cancels a batch, and brings it to its end where no process does."""

from broker.cli.figures import count
from broker.cli.opened import existing
from broker.domain.batch import TERMINAL, Batch, BatchState
from broker.errors import CallerError, DatabaseBusy
from broker.feeder.sweeper import sweep_batch
from broker.store import batches, lock
from broker.store.engine import Database
from broker.store.holder import holder
from broker.store.standing import played
from broker.wiring.spools import spool_directory
from workers.recovery import bury_predecessors, replay_spools


async def cancel_batch(url: str, batch_id: int) -> str:
    """Cancel; returns what came of it, for people. Raises `CallerError` for a batch that has ended otherwise."""
    async with existing(url) as database:
        batch = await database.read(batches.get, batch_id)
        if batch.state is BatchState.CANCELLED:
            return f"batch {batch_id} is cancelled already"
        if batch.state in TERMINAL:
            raise CallerError(f"batch {batch_id} is {batch.state}: there is nothing to cancel")
        if batch.state is BatchState.RECEIVING:
            return await _cancel_receiving(database, batch)
        await database.write(batches.move, batch_id, BatchState.CANCELLING)
        if await _has_fleet(database):
            # Its workers are alive, whatever the lock of the embedded mode says: nobody is to be buried here
            return f"batch {batch_id} is being cancelled; `penstock serve` finishes it: calls in flight still report"
        try:
            async with lock.held(database):
                return await _finish(database, batch_id)
        except DatabaseBusy:
            by = await holder(database) or "the process that runs it"
            return f"batch {batch_id} is being cancelled; {by} finishes it: calls in flight still report"


async def _has_fleet(database: Database) -> bool:
    """Whether a `penstock serve` has ever worked on this database: then it is the one that ends batches."""
    return any([await database.read(played, role) for role in ("feeder", "reaper")])


async def _cancel_receiving(database: Database, batch: Batch) -> str:
    try:
        async with lock.held(database):
            await database.write(batches.move, batch.id, BatchState.CANCELLED)
    except DatabaseBusy as busy:
        raise CallerError(
            f"the input of batch {batch.id} is still being read; stop that process first: {busy}"
        ) from busy
    return f"batch {batch.id} is cancelled; none of its rows was run"


async def _finish(database: Database, batch_id: int) -> str:
    """End it here: nobody else does. What dead processes left comes first, as their answers may be paid for."""
    await replay_spools(database, spool_directory(database))
    await bury_predecessors(database)
    ended = await sweep_batch(database, batch_id)
    counts = (await database.read(batches.get, batch_id)).counts
    kept = f"{count(counts.succeeded)} results are kept, {count(counts.cancelled)} rows were not run"
    if not ended:
        return f"batch {batch_id} is being cancelled: {kept}"
    return f"batch {batch_id} is cancelled: {kept}"
