"""`penstock batches`, `status` and `cancel`: what the database says of batches, and how to end one."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.options import DEFAULT_DATABASE, AsJson, BatchId, DatabaseUrl

if TYPE_CHECKING:
    from broker.cli.outlook import Outlook
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
    as_json: AsJson = False,
) -> None:
    """Say how a batch stands: what happens, what it costs so far, when it will end, and why it waits."""
    import asyncio

    from broker.cli.outlook import outlook_json, outlook_lines

    outlook = asyncio.run(_outlook(database, batch))
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


async def _outlook(url: str, batch_id: int | None) -> "Outlook":
    from broker.cli.opened import existing
    from broker.cli.outlook import Outlook
    from broker.errors import CallerError
    from broker.store.batches import get, newest
    from broker.store.holder import holder
    from broker.store.standing import standing, unknown_calls

    async with existing(url) as database:
        if batch_id is None:
            latest = await database.read(newest, 1)
            if not latest:
                raise CallerError("no batches yet; `penstock run` makes one")
            batch_id = latest[0].id
        # Who holds it first: a process that ends in between has then ended the batch, or left it.
        held_by = await holder(database)
        batch = await database.read(get, batch_id)
        stands = await database.read(standing, batch_id, batch.counts.finished)
        unknown = await database.read(unknown_calls, batch_id)
        return Outlook(batch=batch, standing=stands, unknown=unknown, holder=held_by, database_url=url)


def _print_batches(found: "list[Batch]") -> None:
    from broker.cli.figures import count, money
    from broker.cli.tables import print_table

    columns = ("batch", "state", "rows", "succeeded", "failed", "cost", "tag", "input", "output")
    rows = [
        (
            str(batch.id),
            str(batch.state),
            count(batch.counts.total),
            count(batch.counts.succeeded),
            count(batch.counts.failed),
            money(batch.cost),
            batch.tag,
            batch.source,
            batch.output or "",
        )
        for batch in found
    ]
    print_table(columns, rows, figures=("batch", "rows", "succeeded", "failed", "cost"))
