"""`penstock batches`, `status` and `cancel`: what the database says of batches, and how to end one."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.options import DEFAULT_CONFIG, DEFAULT_DATABASE, AsJson, BatchId, DatabaseUrl

if TYPE_CHECKING:
    from broker.domain.batch import Batch


def batches(
    *,
    database: DatabaseUrl = DEFAULT_DATABASE,
    most: Annotated[int, typer.Option("--most", min=1, metavar="N", help="Show so many, the newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the batches of the database, the newest first."""
    import asyncio

    from broker.cli.outlook import batch_json

    found = asyncio.run(_newest(database, most))
    if as_json:
        typer.echo(json.dumps([batch_json(batch) for batch in found], indent=2, ensure_ascii=False))
        return
    if not found:
        typer.echo("no batches yet", err=True)
        return
    _print_batches(found)


def status(
    batch: Annotated[int | None, typer.Argument(metavar="[BATCH]", help="Its number; default: the newest.")] = None,
    *,
    database: DatabaseUrl = DEFAULT_DATABASE,
    config: Annotated[
        Path,
        typer.Option("--config", "-c", metavar="FILE", help="Says which models the accounts serve, where it is there."),
    ] = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Say how a batch stands: what happens, who works, what it costs so far, when it will end, and why it waits."""
    import asyncio

    from broker.cli.looking import outlook_of
    from broker.cli.outlook import outlook_json, outlook_lines

    outlook = asyncio.run(outlook_of(database, batch, config))
    if as_json:
        typer.echo(json.dumps(outlook_json(outlook), indent=2, ensure_ascii=False))
        return
    for line in outlook_lines(outlook):
        typer.echo(line)


def cancel(batch: BatchId, *, database: DatabaseUrl = DEFAULT_DATABASE) -> None:
    """Cancel a batch: no further call starts, rows without a result end as cancelled, results stay.

    Calls that are in flight in a running process still finish, and are kept.
    """
    import asyncio

    from broker.cli.cancelling import cancel_batch

    typer.echo(asyncio.run(cancel_batch(database, batch)))


async def _newest(url: str, most: int) -> "list[Batch]":
    from broker.cli.opened import existing
    from broker.store.batches import newest

    async with existing(url) as database:
        return await database.read(newest, most)


def _print_batches(found: "list[Batch]") -> None:
    from broker.cli.figures import count, money
    from broker.cli.tables import print_table

    columns = ("batch", "state", "rows", "succeeded", "failed", "cost", "name", "tag", "continues", "input", "output")
    rows = [
        (
            str(batch.id),
            str(batch.state) if batch.sealed else f"{batch.state}, open",
            count(batch.counts.total),
            count(batch.counts.succeeded),
            count(batch.counts.failed),
            money(batch.cost),
            batch.name or "",
            batch.tag,
            str(batch.continues or ""),
            batch.source,
            batch.output or "",
        )
        for batch in found
    ]
    print_table(columns, rows, figures=("batch", "rows", "succeeded", "failed", "cost"))
