"""`penstock run`: drains one batch file in this process."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.commands import Exit
from broker.cli.options import DEFAULT_DATABASE, DatabaseUrl

if TYPE_CHECKING:
    from broker.batch_run import BatchRun, RunEnd, RunOptions
    from broker.intake.source import Source


def run(
    jobs: Annotated[
        str, typer.Argument(metavar="JOBS", help="OpenAI batch JSONL, also as .gz or .zst; - reads standard input.")
    ],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="The file for the results; it grows while it runs.")
    ],
    config: Annotated[
        Path,
        typer.Option("--config", "-c", metavar="FILE", help="Accounts and their limits; `penstock init` writes one."),
    ] = Path("penstock.toml"),
    errors: Annotated[
        Path | None,
        typer.Option("--errors", metavar="ERR", help="A file for the rows that did not succeed; else in OUT."),
    ] = None,
    database: DatabaseUrl = DEFAULT_DATABASE,
    order: Annotated[
        str, typer.Option("--order", metavar="ORDER", help="Order of the output: completion, or input.")
    ] = "completion",
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Rows that do not validate fail alone; else the whole file is refused.")
    ] = False,
    new: Annotated[
        bool, typer.Option("--new", help="Start over, whatever this output belonged to, and overwrite it.")
    ] = False,
    tag: Annotated[str, typer.Option("--tag", metavar="NAME", help="A name that `penstock usage` can sum by.")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON summary as the last line of standard output.")
    ] = False,
) -> None:
    """Drain a batch file through the accounts, and write the results as they come.

    The same command again resumes after any interruption: finished rows are not called again, and of a finished batch
    only the output is written again. Ctrl-C finishes the calls in flight and stops; a second Ctrl-C aborts them.

    Exit status: 0 all rows succeeded, 1 some did not, 2 bad input or configuration (nothing was started), 130
    interrupted.
    """
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
    import sys

    import uvloop

    from broker.batch_run import BatchRun, StoppedWhileReading
    from broker.cli.closing import closing_lines, resume_lines
    from broker.cli.commands import in_words, leaf
    from broker.cli.signals import Aborted, sigterm_interrupts
    from broker.cli.views import view_for
    from broker.delivery.files import OutputFiles
    from broker.domain.clock import SystemClock
    from broker.errors import BrokerError
    from broker.intake.accept import IntakeRefused
    from broker.intake.source import opened_source
    from broker.settings import load

    settings = load(config)
    OutputFiles(options.output, options.errors).check(options.jobs)
    batch_run: BatchRun | None = None
    try:
        # Standard input is copied before the event loop is there, so that Ctrl-C ends the copying.
        with (
            sigterm_interrupts(),
            opened_source(
                options.jobs, directory=options.output.absolute().parent, standard_input=sys.stdin.buffer
            ) as source,
            view_for(source.name, SystemClock()) as view,
        ):
            batch_run = BatchRun(options, settings, view)
            end = uvloop.run(_interruptible(batch_run, source))
    except IntakeRefused as refused:
        for line in (*refused.problems, f"{refused} (--lenient runs the others)"):
            typer.echo(line, err=True)
        return Exit.REFUSED
    except (Aborted, StoppedWhileReading, KeyboardInterrupt) as stopped:
        reading = batch_run is None or not batch_run.accepted
        aborted_reading = reading and not isinstance(stopped, StoppedWhileReading)
        typer.echo("stopped while reading the input" if aborted_reading else str(stopped), err=True)
        for line in resume_lines(options, config):
            typer.echo(line, err=True)
        return Exit.INTERRUPTED
    except (BrokerError, ExceptionGroup) as error:
        if batch_run is None or not batch_run.accepted:
            raise
        for line in (in_words(leaf(error)), *resume_lines(options, config)):
            typer.echo(line, err=True)
        return Exit.SOME_FAILED
    for line in closing_lines(end, options, config):
        typer.echo(line, err=as_json)
    if as_json:
        typer.echo(_summary(end, options))
    return _status(end)


async def _interruptible(batch_run: "BatchRun", source: "Source") -> "RunEnd":
    from broker.cli.signals import interruptible

    return await interruptible(batch_run.run(source), drain=batch_run.stop)


def _status(end: "RunEnd") -> int:
    counts = end.report.batch.counts
    if end.error is not None:
        return Exit.SOME_FAILED
    if not end.finished:
        return Exit.INTERRUPTED
    return Exit.OK if counts.succeeded == counts.total else Exit.SOME_FAILED


def _summary(end: "RunEnd", options: "RunOptions") -> str:
    import json

    from broker.accounting.reports import as_json

    facts = as_json(end.report) | {
        "output": str(options.output.absolute()),
        "errors": str(options.errors.absolute()) if options.errors else None,
        "resumed": end.resumed,
        "elapsed_s": round(end.elapsed_s, 3),
        "error": str(end.error) if end.error else None,
    }
    return json.dumps(facts, ensure_ascii=False)
