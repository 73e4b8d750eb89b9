"""`penstock run`: drains one batch file in this process."""

from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from broker.batch_run import BatchRun, RunOptions
    from broker.progress import Progress


class Exit(IntEnum):
    """Exit statuses of `penstock run`."""

    ALL_SUCCEEDED = 0
    SOME_FAILED = 1
    NOTHING_STARTED = 2
    INTERRUPTED = 130


def run(
    jobs: Annotated[str, typer.Argument(help="OpenAI batch JSONL; also .gz or .zst; - is standard input.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where results go; grows while it runs.")],
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration.")] = Path("penstock.toml"),
    errors: Annotated[Path | None, typer.Option("--errors", help="Failed rows go here instead.")] = None,
    database: Annotated[
        str, typer.Option("--database", help="sqlite:///PATH or postgresql://…")
    ] = "sqlite:///penstock.db",
    order: Annotated[str, typer.Option("--order", help="completion or input.")] = "completion",
    lenient: Annotated[bool, typer.Option("--lenient", help="Bad rows fail alone, the others run.")] = False,
    new: Annotated[bool, typer.Option("--new", help="Start over, with this input, for this output.")] = False,
    tag: Annotated[str, typer.Option("--tag", help="A name to sum usage by.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON summary as the last line.")] = False,
) -> None:
    """Drain a batch file. Running the same command again resumes it; finished rows are not called again."""
    from broker.batch_run import RunOptions
    from broker.delivery.files import Order

    if order not in set(Order):
        raise typer.BadParameter(f"{order!r} is neither completion nor input", param_hint="--order")
    options = RunOptions(
        jobs=jobs,
        output=output,
        errors=errors,
        database_url=database,
        order=Order(order),
        lenient=lenient,
        new=new,
        tag=tag,
    )
    raise typer.Exit(_run(options, config, as_json=as_json))


def _run(options: "RunOptions", config: Path, *, as_json: bool) -> int:
    import uvloop

    from broker.batch_run import BatchRun
    from broker.cli.views import view_for
    from broker.errors import AccountError, BrokerError
    from broker.intake.accept import IntakeRefused
    from broker.settings import load

    try:
        settings = load(config)
        with view_for(quiet=as_json) as view:
            batch_run = BatchRun(options, settings, view)
            progress = uvloop.run(_with_signals(batch_run))
    except IntakeRefused as refused:
        for problem in refused.problems:
            typer.echo(problem, err=True)
        typer.echo(f"{refused} (--lenient runs the others)", err=True)
        return Exit.NOTHING_STARTED
    except AccountError as error:
        typer.echo(str(error), err=True)
        return Exit.SOME_FAILED
    except BrokerError as error:
        typer.echo(str(error), err=True)
        return Exit.NOTHING_STARTED
    except KeyboardInterrupt:
        typer.echo("aborted; run the same command again to resume", err=True)
        return Exit.INTERRUPTED
    return _finish(progress, as_json=as_json)


def _finish(progress: "Progress", *, as_json: bool) -> int:
    from broker.domain.batch import TERMINAL

    counts = progress.batch.counts
    typer.echo(f"{counts}")
    if progress.batch.state not in TERMINAL:
        return Exit.INTERRUPTED
    return Exit.ALL_SUCCEEDED if counts.succeeded == counts.total else Exit.SOME_FAILED


async def _with_signals(batch_run: "BatchRun") -> "Progress":
    import asyncio
    import signal

    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(batch_run.run())
    interrupts = 0

    def interrupted() -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts == 1:
            typer.echo("draining what is in flight; press Ctrl-C again to abort", err=True)
            batch_run.stop()
        else:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted)
    try:
        return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
