"""Steers a batch, and says what that means."""

from broker.cli.figures import plural
from broker.cli.opened import existing
from broker.domain.batch import MOVES, Batch, BatchState
from broker.errors import CallerError, IllegalMove
from broker.store import batches, submissions
from broker.store.engine import Database
from broker.store.submissions import Submission

_TRIES = 10


async def pause_batch(url: str, batch_id: int) -> str:
    """Pause; returns what came of it, for people. Raises `CallerError` for a batch that cannot be paused."""
    async with existing(url) as database:
        batch, changed = await _moved(database, batch_id, BatchState.PAUSED, "pause")
    if not changed:
        return f"batch {batch_id} is paused already"
    left = plural(batch.counts.total - batch.counts.finished, "row")
    return (
        f"batch {batch_id} is paused with {left} left; calls in flight finish. Go on with: penstock resume {batch_id}"
    )


async def resume_batch(url: str, batch_id: int) -> str:
    """Let it go on; returns what came of it. Raises `CallerError` for a batch that is not paused."""
    async with existing(url) as database:
        batch, changed = await _moved(database, batch_id, BatchState.RUNNING, "resume")
    if not changed:
        return f"batch {batch_id} is running already"
    left = plural(batch.counts.total - batch.counts.finished, "row")
    return f"batch {batch_id} may run again, with {left} left; `penstock status {batch_id}` says who runs it"


async def seal_batch(url: str, batch_id: int) -> str:
    """Let no more jobs join; returns what came of it. Raises `NoSuchBatch`."""
    async with existing(url) as database:
        batch = await database.read(batches.get, batch_id)
        if batch.sealed or batch.name is None:
            return f"batch {batch_id} takes no more jobs already; it is {batch.state}"
        this = Submission(project=batch.project, submission_id=f"seal:{batch_id}", body_hash="")
        await database.write(submissions.seal, this, batch.name, lambda sealed: str(sealed.total))
        batch = await database.read(batches.get, batch_id)
    left = plural(batch.counts.total - batch.counts.finished, "row")
    return f"batch {batch_id} is sealed with {plural(batch.counts.total, 'row')}, {left} left; it is {batch.state}"


async def _moved(database: Database, batch_id: int, to: BatchState, verb: str) -> tuple[Batch, bool]:
    """Move the state; whether it was another one. What others do to it at the same moment is looked at again."""
    for _ in range(_TRIES):
        before = await database.read(batches.get, batch_id)
        if before.state is to:
            return before, False
        # Only what may be undone: a batch that is still being read has a way to `running` that is not ours.
        if to not in MOVES[before.state] or before.state is BatchState.RECEIVING:
            raise CallerError(_refusal(before, verb))
        try:
            if await database.write(batches.move, batch_id, to) is to:
                return before, True
        except IllegalMove:
            continue
    raise CallerError(f"batch {batch_id} changes all the time; try again")


def _refusal(batch: Batch, verb: str) -> str:
    match batch.state:
        case BatchState.RECEIVING:
            return f"the input of batch {batch.id} is still being read; {verb} it when it has been accepted"
        case BatchState.CANCELLING:
            return f"batch {batch.id} is being cancelled: there is nothing to {verb}"
        case _:
            return f"batch {batch.id} is {batch.state}: there is nothing to {verb}"
