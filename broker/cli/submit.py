"""`penstock submit`: puts a batch file into the manifest, for a fleet to drain."""

import json
from pathlib import Path
from typing import Annotated

import typer

from broker.cli.commands import Exit
from broker.cli.options import (
    DEFAULT_CONFIG,
    DEFAULT_DATABASE,
    AsJson,
    DatabaseUrl,
    DialectOption,
    ModelOption,
    OnLossOption,
    UseOption,
    input_options,
)
from broker.domain.loss import OnLoss


def submit(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A batch of OpenAI lines, Anthropic entries or Gemini lines, also as .gz or .zst; - reads standard "
            "input.",
        ),
    ],
    *,
    config: Annotated[
        Path,
        typer.Option("--config", "-c", metavar="FILE", help="The accounts, whose models are what rows may ask for."),
    ] = DEFAULT_CONFIG,
    database: DatabaseUrl = DEFAULT_DATABASE,
    dialect: DialectOption = None,
    model: ModelOption = None,
    on_loss: OnLossOption = OnLoss.FAIL,
    use: UseOption = None,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Rows that do not validate fail alone; else the whole file is refused.")
    ] = False,
    tag: Annotated[str, typer.Option("--tag", metavar="TAG", help="A name that `penstock usage` can sum by.")] = "",
    weight: Annotated[
        float, typer.Option("--weight", min=0.001, max=1000.0, metavar="W", help="Its share beside other batches.")
    ] = 1.0,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What it is called; unique in its project.")
    ] = None,
    project: Annotated[str, typer.Option("--project", metavar="PROJECT", help="Whose it is.")] = "default",
    submission_id: Annotated[
        str | None,
        typer.Option(
            "--submission-id",
            metavar="ID",
            help="What this submission is known by; default: made of the content and the options.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Submit a batch file: every row is checked and stored, then the batch may run. Prints its number.

    The same file again, under the same submission id, is the same batch: nothing is stored twice, and reading that was
    cut off goes on where it stopped. `penstock serve` and the workers run it; `penstock status` shows how it stands,
    `penstock results --follow` what comes out.

    Many may submit at once to PostgreSQL. A SQLite file is one process's at a time: there, submitting is refused while
    `penstock run` holds it, and `penstock run batch:7 --output OUT` runs the batch, if 7 is its number.

    Exit status: 0 accepted, now or before; 2 refused, and nothing was stored; 130 interrupted.
    """
    import asyncio

    from broker.cli.signals import sigterm_interrupts
    from broker.cli.submitting import Order, submitted
    from broker.intake.accept import IntakeRefused

    order = Order(
        file=file,
        database_url=database,
        lenient=lenient,
        tag=tag,
        weight=weight,
        name=name,
        project=project,
        submission_id=submission_id,
        given=input_options(dialect, model, on_loss, use),
    )
    try:
        with sigterm_interrupts():
            done = asyncio.run(submitted(order, config, say=lambda words: typer.echo(words, err=True)))
    except IntakeRefused as refused:
        for line in (*refused.problems, f"{refused} (--lenient accepts the others)"):
            typer.echo(line, err=True)
        raise typer.Exit(Exit.REFUSED) from None
    except KeyboardInterrupt:
        typer.echo("stopped while reading the input; the same command goes on where it stopped", err=True)
        raise typer.Exit(Exit.INTERRUPTED) from None
    typer.echo(done.words, err=True)
    typer.echo(json.dumps(done.facts, ensure_ascii=False) if as_json else done.batch_id)
