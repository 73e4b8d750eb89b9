"""`penstock retry`: runs rows again that ended badly."""

import json
from typing import Annotated

import typer

from broker.cli.options import DEFAULT_DATABASE, AsJson, BatchId, DatabaseUrl

_STATES = ("failed", "expired", "cancelled")


def retry(
    batch: BatchId,
    *,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", metavar="STATE", help=f"Rows that are {', '.join(_STATES)}; repeat for more. [failed]"),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Make one more batch, where such a retry was asked for before.")
    ] = False,
    database: DatabaseUrl = DEFAULT_DATABASE,
    as_json: AsJson = False,
) -> None:
    """Run the failed rows of a batch again, as a new batch that continues it. Prints the new number.

    The rows are taken as they were submitted, under their own names, with the tag, the weight and the project of the
    old batch, whose results stay. Rows that did not validate are left out: they would be refused again.

    A fleet runs it at once; in a SQLite file, `penstock run batch:7 --output OUT` does, if 7 is the new number.

    Asking again gives the same new batch, and goes on with one that was cut off. Of a batch that still runs, the rows
    that have ended by now are taken; those that fail later need `--again`.
    """
    import asyncio

    from broker.cli.retrying import retry_batch
    from broker.domain.result import ResultState

    unknown = [name for name in state or () if name not in _STATES]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(_STATES)}", param_hint="--state")
    states = [ResultState(name) for name in dict.fromkeys(state or ["failed"])]
    done = asyncio.run(retry_batch(database, batch, states, again=again, say=lambda words: typer.echo(words, err=True)))
    typer.echo(done.words, err=True)
    typer.echo(json.dumps(done.facts, ensure_ascii=False) if as_json else done.batch_id)
