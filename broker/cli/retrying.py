"""Makes a batch of the rows of another one, and says so."""

from collections.abc import Callable, Collection

from broker.cli.figures import plural
from broker.cli.opened import existing
from broker.cli.submitting import Submitted
from broker.domain.result import ResultState
from broker.intake.retrying import retry, submission_id
from broker.store import batches
from broker.store.submitting import submitting


async def retry_batch(
    url: str, batch_id: int, states: Collection[ResultState], *, again: bool, say: Callable[[str], None]
) -> Submitted:
    """Retry; returns what came of it. Raises `NoSuchBatch`, `NothingToRetry` and `StoreError`."""
    async with existing(url) as database:
        project = (await database.read(batches.get, batch_id)).project
        this = submission_id(batch_id, states)
        waiting = "another process makes the same retry; waiting for its end"
        async with submitting(database, project, this, waiting=lambda: say(waiting)):
            done = await retry(database, batch_id, states, again=again)
        new = await database.read(batches.get, done.batch_id)
    rows = plural(new.counts.total, "row")
    if done.known:
        words = f"batch {new.id} continues batch {batch_id} already ({rows}, {new.state}); --again makes another"
    else:
        words = f"{rows} of batch {batch_id} run again as batch {new.id}"
        if done.may_grow:
            words += f"; batch {batch_id} has not ended: rows that fail from now on need --again"
    facts = {
        "batch": new.id,
        "continues": batch_id,
        "state": str(new.state),
        "known": done.known,
        "total": new.counts.total,
    }
    return Submitted(batch_id=new.id, words=words, facts=facts)
