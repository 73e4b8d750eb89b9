from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from broker.accounting.reports import batch_report
from broker.batch_run import RunEnd, RunOptions
from broker.cli.closing import closing_lines, command, resume_lines
from broker.cli.options import DEFAULT_DATABASE
from broker.delivery.files import Order
from broker.domain.attempt import AttemptState
from broker.domain.batch import Batch, BatchState, Counts
from broker.domain.totals import AttemptGroup, Totals
from broker.errors import AccountError
from tests.unit.cli.standing_run import a_batch

OPTIONS = RunOptions(
    jobs="my jobs.jsonl",
    output=Path("out.jsonl"),
    errors=None,
    database_url=DEFAULT_DATABASE,
    order=Order.COMPLETION,
    lenient=False,
    new=True,
    tag="",
)
CONFIG = Path("penstock.toml")
DONE = a_batch(state=BatchState.COMPLETED, counts=Counts(total=10, succeeded=8, failed=2))


def end(batch: Batch, error: AccountError | None = None, codes: dict[str, int] | None = None) -> RunEnd:
    totals = Totals(attempts=11, input_tokens=2_000, output_tokens=1_000, cost=Decimal("1.5"), unpriced=1)
    groups = [
        AttemptGroup(account="a", provider="p", state=AttemptState.OK, count=11, totals=totals),
        AttemptGroup(account="a", provider="p", state=AttemptState.UNKNOWN, count=2, totals=Totals()),
    ]
    report = batch_report(batch, groups, last_result_at=104.0, error_codes=codes or {})
    return RunEnd(report=report, elapsed_s=5.0, resumed=False, error=error)


def test_the_end_is_told_in_rows_calls_money_errors_and_files() -> None:
    codes = {"a": 1, "b": 3, "c": 1, "d": 1, "e": 1, "f": 1, "g": 1}
    lines = list(closing_lines(end(DONE, codes=codes), replace(OPTIONS, errors=Path("err.jsonl")), CONFIG))
    assert lines == [
        "batch 3 completed: 8 of 10 rows succeeded, 2 failed in 4.0 s, 2.5 rows/s",
        "13 calls, 2.0k tokens in, 1.0k out, $1.50 + 1 call at unknown prices",
        "2 calls ended without an answer and may have been paid for; their tokens are in no sum",
        "rows without an answer: b (3), a (1), c (1), d (1), e (1), and 2 more kinds",
        "results: out.jsonl, errors: err.jsonl",
    ]


def test_a_run_that_stopped_names_the_command_that_goes_on() -> None:
    stopped = a_batch(counts=Counts(total=10, succeeded=4))
    lines = list(closing_lines(end(stopped, AccountError("no account can go on")), OPTIONS, CONFIG))
    assert lines[0] == "batch 3 is not finished: 4 of 10 rows succeeded, 6 left in 4.0 s, 1.0 rows/s"
    assert lines[-3:] == [
        "no account can go on",
        "to go on, run this, which calls no finished row again:",
        "  penstock run 'my jobs.jsonl' --output out.jsonl",
    ]


def test_the_command_that_goes_on_has_every_option_but_new() -> None:
    options = replace(
        OPTIONS,
        jobs="-",
        errors=Path("err.jsonl"),
        database_url="postgresql://me:canary@db/x?password=canary&ssl=require",
        order=Order.INPUT,
        lenient=True,
        tag="nightly",
    )
    assert command(options, Path("other.toml")) == (
        "penstock run - --config other.toml --output out.jsonl --errors err.jsonl "
        "--database 'postgresql://me@db/x?password=&ssl=require' "
        "--order input --lenient --tag nightly"
    )


def test_a_replacement_that_was_not_accepted_must_be_asked_for_again() -> None:
    """Without `--new` the command would find the batch that was to be replaced."""
    assert list(resume_lines(OPTIONS, CONFIG, accepted=False))[-1].endswith("--output out.jsonl --new")
    assert list(resume_lines(replace(OPTIONS, new=False), CONFIG, accepted=False))[-1].endswith("--output out.jsonl")


def test_a_run_without_any_result_took_no_time_to_tell_of() -> None:
    stopped = end(a_batch(counts=Counts(total=10)), AccountError("no account can go on"))
    stopped = replace(stopped, report=replace(stopped.report, makespan_s=None))
    assert next(closing_lines(stopped, OPTIONS, CONFIG)) == "batch 3 is not finished: 0 of 10 rows succeeded, 10 left"
