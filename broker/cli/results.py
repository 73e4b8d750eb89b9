"""`penstock results`: the results of a batch as JSON lines, also while it runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from broker.cli.options import DEFAULT_DATABASE, BatchId, DatabaseUrl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.domain.batch import Batch
    from broker.store.engine import Database

PAGE = 500
_STATES = ("succeeded", "failed", "cancelled", "expired")


def results(
    batch: BatchId,
    *,
    after: Annotated[
        int, typer.Option("--after", min=0, metavar="SEQ", help="Only what came behind the SEQ-th result.")
    ] = 0,
    state: Annotated[
        str | None, typer.Option("--state", metavar="STATE", help=f"Only rows that are {', '.join(_STATES)}.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write them here instead of standard output.")
    ] = None,
    database: DatabaseUrl = DEFAULT_DATABASE,
) -> None:
    """Print the results of a batch as lines of OpenAI batch output, in the order in which they came.

    While the batch runs, the last line on standard error says with which --after to go on.
    """
    import asyncio

    from broker.delivery.files import holds_results
    from broker.errors import CallerError

    if state is not None and state not in _STATES:
        raise typer.BadParameter(f"{state!r} is none of {', '.join(_STATES)}", param_hint="--state")
    if output is not None and not holds_results(output):
        raise CallerError(f"{output} holds something else than results; name another file")
    note = asyncio.run(_print(database, batch, after, state, output))
    if note:
        typer.echo(note, err=True)


async def _print(url: str, batch_id: int, after: int, state: str | None, output: Path | None) -> str | None:
    """Write the lines; returns how to go on if more will come."""
    import sys

    from broker.cli.opened import existing
    from broker.delivery.files import replacing
    from broker.domain.batch import TERMINAL, BatchState
    from broker.store.batches import get, in_state

    async with existing(url) as database:
        batch = await database.read(get, batch_id)
        if output is None:
            seen = await _copy(database, batch_id, after, state, sys.stdout.buffer)
        else:
            unfinished = await database.read(in_state, *(set(BatchState) - TERMINAL))
            _check_free(output, [batch, *unfinished])
            with replacing(output) as file:
                seen = await _copy(database, batch_id, after, state, file)
    if batch.state in TERMINAL:
        return None
    return f"batch {batch_id} is {batch.state}, more may come; go on with --after {seen}"


def _check_free(output: Path, batches: "Sequence[Batch]") -> None:
    """The process that runs a batch writes its output: nobody else may."""
    from broker.errors import CallerError

    for batch in batches:
        if batch.output is not None and output.resolve() == Path(batch.output).resolve():
            raise CallerError(f"{output} is the output of batch {batch.id} itself; name another file")


async def _copy(database: "Database", batch_id: int, after: int, state: str | None, file: BinaryIO) -> int:
    """Copy page by page; returns where the cursor stands."""
    from broker.delivery.openai_lines import output_line
    from broker.store import results as ledger

    while page := await database.read(ledger.lines_after, batch_id, after, PAGE):
        file.write(b"".join(output_line(result) for result in page if state in (None, result.state)))
        after = page[-1].seq
    file.flush()
    return after
