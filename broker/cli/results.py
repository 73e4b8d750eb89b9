"""`penstock results`: the results of a batch as JSON lines, also while it runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.commands import Exit
from broker.cli.options import DEFAULT_DATABASE, BatchId, DatabaseUrl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.domain.batch import Batch

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
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the batch has ended, and print results as they come.")
    ] = False,
    database: DatabaseUrl = DEFAULT_DATABASE,
) -> None:
    """Print the results of a batch as lines of its own form, in the order in which they came.

    A batch of OpenAI lines has lines of OpenAI batch output; one of Anthropic entries or Gemini lines has those of its
    vendor.

    While the batch runs, the last line on standard error says with which --after to go on.

    With --follow an outage of the database is waited out, and Ctrl-C ends the command with that last line (exit status
    130). FILE then grows line by line; with --after the new lines go behind those that it has.
    """
    import asyncio

    from broker.delivery.result_lines import holds_results
    from broker.errors import CallerError

    if state is not None and state not in _STATES:
        raise typer.BadParameter(f"{state!r} is none of {', '.join(_STATES)}", param_hint="--state")
    if output is not None and not holds_results(output):
        raise CallerError(f"{output} holds something else than results; name another file")
    if follow:
        raise typer.Exit(_follow(database, batch, after, state, output))
    note = asyncio.run(_print(database, batch, after, state, output))
    if note:
        typer.echo(note, err=True)


def _follow(url: str, batch_id: int, after: int, state: str | None, output: Path | None) -> Exit:
    import asyncio

    from broker.cli.following import Following

    following = Following(batch_id, after, state, say=lambda words: typer.echo(words, err=True))
    if asyncio.run(following.run(url, output, lambda batches: _check_free(output, batches))):
        return Exit.OK
    typer.echo(f"stopped; go on with --after {following.seen}", err=True)
    return Exit.INTERRUPTED


async def _print(url: str, batch_id: int, after: int, state: str | None, output: Path | None) -> str | None:
    """Write the lines; returns how to go on if more will come."""
    import sys

    from broker.cli.following import Following, claimants
    from broker.cli.opened import existing
    from broker.delivery.files import replacing
    from broker.domain.batch import TERMINAL
    from broker.store.batches import get

    lines = Following(batch_id, after, state)
    async with existing(url) as database:
        batch = await database.read(get, batch_id)
        if output is None:
            await lines.catch_up(database, sys.stdout.buffer, batch.form)
        else:
            _check_free(output, await claimants(database, batch_id))
            with replacing(output) as file:
                await lines.catch_up(database, file, batch.form)
    if batch.state in TERMINAL:
        return None
    return f"batch {batch_id} is {batch.state}, more may come; go on with --after {lines.seen}"


def _check_free(output: Path | None, batches: "Sequence[Batch]") -> None:
    """The process that runs a batch writes its output: nobody else may."""
    from broker.errors import CallerError

    for batch in batches:
        if output is not None and batch.output is not None and output.resolve() == Path(batch.output).resolve():
            raise CallerError(f"{output} is the output of batch {batch.id} itself; name another file")
