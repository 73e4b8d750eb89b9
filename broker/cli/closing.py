"""What a run says when it ends."""

import shlex
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from broker.batch_run import RunEnd, RunOptions
from broker.cli.figures import compact, count, duration, money, plural, rate
from broker.cli.options import DEFAULT_CONFIG, DEFAULT_DATABASE, without_password
from broker.delivery.files import Order
from broker.domain.batch import BatchState, Counts

_MOST_CODES = 5


def closing_lines(end: RunEnd, options: RunOptions, config: Path) -> Iterator[str]:
    """The lines, for people."""
    report = end.report
    batch = report.batch
    counts = batch.counts
    yield f"batch {batch.id} {_state(end)}: {_counted(counts)}{_time(report.makespan_s)}{_rate(end)}"
    totals = report.totals
    unpriced = f" + {plural(totals.unpriced, 'call')} at unknown prices" if totals.unpriced else ""
    calls = sum(report.attempts.values())
    yield (
        f"{plural(calls, 'call')}, {compact(totals.input_tokens)} tokens in, {compact(totals.output_tokens)} out, "
        f"{money(totals.cost)}{unpriced}"
    )
    if report.unknown:
        yield (
            f"{plural(report.unknown, 'call')} ended without an answer and may have been paid for; "
            "their tokens are in no sum"
        )
    if report.error_codes:
        codes = ", ".join(f"{code} ({count(rows)})" for code, rows in islice(report.error_codes.items(), _MOST_CODES))
        more = len(report.error_codes) - _MOST_CODES
        yield f"rows without an answer: {codes}{f', and {more} more kinds' if more > 0 else ''}"
    yield f"results: {options.output}" + (f", errors: {options.errors}" if options.errors else "")
    if end.error is not None:
        yield str(end.error)
    if batch.state is BatchState.CANCELLED:
        yield "the batch was cancelled; --new starts over"
    if not end.finished:
        yield from resume_lines(options, config)


def resume_lines(options: RunOptions, config: Path, *, accepted: bool = True) -> Iterator[str]:
    """How to go on after an interruption; a password is left out.

    Until a new batch is `accepted`, the output belongs to the one that it is to replace: `--new` is needed again.
    """
    again = "with the same input" if options.jobs == "-" else "which calls no finished row again"
    yield f"to go on, run this, {again}:"
    yield f"  {command(options, config)}{' --new' if options.new and not accepted else ''}"


def command(options: RunOptions, config: Path) -> str:
    """The command that resumes an accepted run: the same, without `--new`."""
    words = ["penstock", "run", options.jobs]
    if config != DEFAULT_CONFIG:
        words += ["--config", str(config)]
    words += ["--output", str(options.output)]
    if options.errors is not None:
        words += ["--errors", str(options.errors)]
    if options.database_url != DEFAULT_DATABASE:
        words += ["--database", without_password(options.database_url)]
    if options.order is not Order.COMPLETION:
        words += ["--order", options.order]
    if options.lenient:
        words.append("--lenient")
    if options.tag:
        words += ["--tag", options.tag]
    words += chain.from_iterable(options.given.said())
    return shlex.join(words)


def _state(end: RunEnd) -> str:
    return end.report.batch.state if end.finished else "is not finished"


def _counted(counts: Counts) -> str:
    parts = [f"{count(counts.succeeded)} of {plural(counts.total, 'row')} succeeded"]
    parts += [
        f"{count(number)} {word}"
        for number, word in (
            (counts.failed, "failed"),
            (counts.cancelled, "cancelled"),
            (counts.expired, "expired"),
            (counts.total - counts.finished, "left"),
        )
        if number
    ]
    return ", ".join(parts)


def _time(makespan_s: float | None) -> str:
    return "" if makespan_s is None else f" in {duration(makespan_s)}"  # nothing has come back yet


def _rate(end: RunEnd) -> str:
    if end.resumed:  # the pause between two runs is no part of any pace
        return ""
    makespan, finished = end.report.makespan_s, end.report.batch.counts.finished
    return f", {rate(finished / makespan)} rows/s" if makespan and finished > 1 else ""
