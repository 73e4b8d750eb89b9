"""`penstock run`: drains one batch file in this process."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.commands import Exit
from broker.cli.options import (
    DEFAULT_CONFIG,
    DEFAULT_DATABASE,
    DialectOption,
    EmbeddedDatabaseUrl,
    ModelOption,
    OnLossOption,
    UseOption,
    input_options,
)
from broker.domain.loss import OnLoss

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from broker.batch_run import BatchRun, RunEnd, RunOptions
    from broker.intake.source import Source


def run(
    context: typer.Context,
    jobs: Annotated[
        str,
        typer.Argument(
            metavar="JOBS",
            help="A batch of OpenAI lines, Anthropic entries or Gemini lines, also as .gz or .zst; - reads standard "
            "input; batch:7 runs that batch of the database.",
        ),
    ],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="The file for the results; it grows while it runs.")
    ],
    config: Annotated[
        Path,
        typer.Option("--config", "-c", metavar="FILE", help="Accounts and their limits; `penstock init` writes one."),
    ] = DEFAULT_CONFIG,
    errors: Annotated[
        Path | None,
        typer.Option("--errors", metavar="ERR", help="A file for the rows that did not succeed; else in OUT."),
    ] = None,
    database: EmbeddedDatabaseUrl = DEFAULT_DATABASE,
    order: Annotated[
        str, typer.Option("--order", metavar="ORDER", help="Order of the output: completion, or input.")
    ] = "completion",
    dialect: DialectOption = None,
    model: ModelOption = None,
    on_loss: OnLossOption = OnLoss.FAIL,
    use: UseOption = None,
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
        given=input_options(dialect, model, on_loss, use),
    )
    if options.batch is not None and (lenient or tag or any(options.given.said())):
        told = "--lenient, --tag, --dialect, --model, --on-loss and --use are for an input that is read"
        raise typer.BadParameter(told, param_hint="JOBS")
    show_traceback = bool(context.find_root().params.get("show_traceback"))
    raise typer.Exit(_run(options, config, as_json=as_json, show_traceback=show_traceback))


def _run(options: "RunOptions", config: Path, *, as_json: bool, show_traceback: bool) -> int:
    import traceback

    import uvloop

    from broker.batch_run import BatchRun, StoppedWhileReading
    from broker.cli.closing import closing_lines, resume_lines
    from broker.cli.commands import in_words, leaf
    from broker.cli.signals import Aborted, sigterm_interrupts
    from broker.cli.views import view_for
    from broker.delivery.files import OutputFiles
    from broker.domain.clock import SystemClock
    from broker.intake.accept import IntakeRefused
    from broker.settings import load

    settings = load(config)
    OutputFiles(options.output, options.errors).check(_not_to_be_written(options, config))
    batch_run: BatchRun | None = None
    try:
        # Standard input is copied before the event loop is there, so that Ctrl-C ends the copying.
        with (
            sigterm_interrupts(),
            _source(options) as source,
            view_for(options.jobs if source is None else source.name, SystemClock()) as view,
        ):
            batch_run = BatchRun(options, settings, view)
            end = uvloop.run(_interruptible(batch_run, source))
    except IntakeRefused as refused:
        _tell(*refused.problems, f"{refused} (--lenient runs the others)")
        return Exit.REFUSED
    except (Aborted, StoppedWhileReading, KeyboardInterrupt) as stopped:
        reading = batch_run is None or not batch_run.accepted
        aborted_reading = reading and not isinstance(stopped, StoppedWhileReading)
        words = "stopped while reading the input" if aborted_reading else str(stopped)
        _tell(words, *resume_lines(options, config, accepted=not reading))
        _summarize(batch_run, options, words, wanted=as_json)
        return Exit.INTERRUPTED
    except Exception as error:
        if batch_run is None or not batch_run.accepted:
            raise
        words = in_words(leaf(error))
        _tell(words, *resume_lines(options, config))
        if show_traceback:
            traceback.print_exception(error)
        _summarize(batch_run, options, words, wanted=as_json)
        return Exit.SOME_FAILED
    for line in closing_lines(end, options, config):
        typer.echo(line, err=as_json)
    if as_json:
        typer.echo(_summary(end, options, str(end.error) if end.error else None))
    return _status(end)


def _source(options: "RunOptions") -> "AbstractContextManager[Source | None]":
    import sys
    from contextlib import nullcontext

    from broker.intake.source import opened_source

    if options.batch is not None:
        return nullcontext()
    return opened_source(options.jobs, directory=options.output.absolute().parent, standard_input=sys.stdin.buffer)


async def _interruptible(batch_run: "BatchRun", source: "Source | None") -> "RunEnd":
    from broker.cli.signals import interruptible

    return await interruptible(batch_run.run(source), drain=batch_run.stop)


def _not_to_be_written(options: "RunOptions", config: Path) -> "Mapping[Path, str]":
    from broker.store.engine import database_files

    others = dict.fromkeys(database_files(options.database_url), "the database")
    others[config] = "the configuration"
    if options.jobs != "-" and options.batch is None:
        others[Path(options.jobs)] = "the input"
    return others


def _status(end: "RunEnd") -> int:
    counts = end.report.batch.counts
    if end.error is not None:
        return Exit.SOME_FAILED
    if not end.finished:
        return Exit.INTERRUPTED
    return Exit.OK if counts.succeeded == counts.total else Exit.SOME_FAILED


def _tell(*lines: str) -> None:
    for line in lines:
        typer.echo(line, err=True)


def _summarize(batch_run: "BatchRun | None", options: "RunOptions", error: str, *, wanted: bool) -> None:
    """Print the summary of a run that was cut short, without figures where the ledger cannot be read."""
    import uvloop

    from broker.errors import StoreUnavailable

    if not wanted or batch_run is None or not batch_run.accepted:
        return
    try:
        end = uvloop.run(batch_run.stands())
    except StoreUnavailable:
        end = None
    typer.echo(_summary(end, options, error))


def _summary(end: "RunEnd | None", options: "RunOptions", error: str | None) -> str:
    import json

    from broker.accounting.reports import as_json

    facts: dict[str, object] = {}
    if end is not None:
        facts = as_json(end.report) | {"resumed": end.resumed, "elapsed_s": round(end.elapsed_s, 3)}
    facts |= {
        "output": str(options.output.absolute()),
        "errors": str(options.errors.absolute()) if options.errors else None,
        "error": error,
    }
    return json.dumps(facts, ensure_ascii=False)
