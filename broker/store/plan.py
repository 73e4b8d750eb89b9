"""What follows from a set of reports: decided in one pure function, for both databases.

- A report whose attempt has already reported is dropped: it is a repeat.
- A job's result is its first succeeded report, else its first failed one, unless it has one already.
- A good answer that did not become the result is `discarded`: its usage and cost count, its body goes.
- A part of an answer is kept while its job has no result and the place is free, and ends with the result. Else it is
  discarded like any answer that comes too late.
- A job is handed back only by an attempt that was open: an unknown one was handed on when it became unknown.
- Sums count every attempt that reports here, winner or not. An unknown outcome has not reported.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, assert_never

from broker.domain.attempt import AttemptState, moved
from broker.domain.batch import TERMINAL, BatchState, when_all_finished
from broker.domain.job import JobKey
from broker.domain.money import ZERO
from broker.domain.report import Again, Conclusion, Part, Report
from broker.domain.result import ResultState
from broker.domain.usage import UsageSource
from broker.store.facts import BatchFacts, Fact
from broker.store.planned import Row, attempt_row, due_row, hour_key, part_row, result_row

_MAY_REPORT = (AttemptState.OPEN, AttemptState.UNKNOWN)
_NEXT_PART = Again(in_s=0.0, why="next_part")


@dataclass(slots=True, kw_only=True)
class Plan:
    """Rows to write, in the order of writing."""

    results: list[Row] = field(default_factory=list)
    attempts: list[Row] = field(default_factory=list)
    parts: list[Row] = field(default_factory=list)
    no_parts: list[JobKey] = field(default_factory=list)
    """Jobs that have their result, and no longer need the parts of it."""
    not_due: list[JobKey] = field(default_factory=list)
    due: list[Row] = field(default_factory=list)
    hourly: list[Row] = field(default_factory=list)
    batches: list[Row] = field(default_factory=list)
    completed: list[int] = field(default_factory=list)
    """Batches that came to their end with this transaction."""


@dataclass(slots=True)
class Sums:
    """What a set of attempts used."""

    attempts: int = 0
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal = ZERO
    unpriced: int = 0

    def add(self, report: Report) -> None:
        usage = report.usage
        self.attempts += 1
        self.input_tokens += usage.input_tokens or 0
        self.cache_read_tokens += usage.cache_read_tokens or 0
        self.cache_write_tokens += usage.cache_write_tokens or 0
        self.output_tokens += usage.output_tokens or 0
        self.reasoning_tokens += usage.reasoning_tokens or 0
        if report.cost is not None:
            self.cost += report.cost
        elif usage.source is not UsageSource.MISSING or report.state is AttemptState.OK:
            self.unpriced += 1

    def row(self, prefix: str = "") -> Row:
        return {f"{prefix}{name}": getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class _BatchChange:
    counts: dict[ResultState, int] = field(default_factory=lambda: dict.fromkeys(ResultState, 0))
    sums: Sums = field(default_factory=Sums)


def plan(reports: Sequence[Report], facts: Sequence[Fact], batches: Mapping[int, BatchFacts], *, at: float) -> Plan:
    """Decide everything; `at` is the database's time, for results and due rows."""
    live = _first_of_each_attempt(reports, facts)
    winners = _winners(live)
    kept = _kept_parts(live, winners)
    used = {id(report) for report in winners.values()} | {id(report) for report, _ in kept.values()}
    decided = Plan(parts=[part_row(report, part) for report, part in kept.values()])
    changes: dict[int, _BatchChange] = defaultdict(_BatchChange)
    hourly: dict[tuple[Any, ...], Sums] = defaultdict(Sums)

    for report, fact in live:
        batch, change = batches[report.key.batch_id], changes[report.key.batch_id]
        won = winners.get(report.key) is report
        state = report.state
        if state is AttemptState.OK and id(report) not in used:
            state = AttemptState.DISCARDED
        decided.attempts.append(attempt_row(report, moved(fact.attempt or AttemptState.OPEN, state)))
        if state is not AttemptState.UNKNOWN:
            change.sums.add(report)
            hourly[hour_key(batch, report)].add(report)
        if won and isinstance(report.then, Conclusion):
            change.counts[report.then.state] += 1
            seq = batch.finished + sum(change.counts.values())
            decided.results.append(result_row(report, report.then, fact.parts, seq, at))
            if fact.due:
                decided.not_due.append(report.key)
        elif (again := _again(report, fact)) is not None and report.key not in winners:
            decided.due.append(due_row(report.key, again, at))

    decided.no_parts = [report.key for report, fact in live if fact.parts and winners.get(report.key) is report]
    for batch_id, change in changes.items():
        row = batch_row(batch_id, batches[batch_id], change.counts, change.sums, at)
        decided.batches.append(row)
        if row["finished_at"] is not None:
            decided.completed.append(batch_id)
    decided.hourly = [dict(key) | sums.row() for key, sums in sorted(hourly.items())]
    return decided


def batch_row(batch_id: int, facts: BatchFacts, counts: Mapping[ResultState, int], sums: Sums, at: float) -> Row:
    """Parameters of the one update of a batch; its state moves when nothing is left to finish."""
    all_in = facts.sealed or facts.state is BatchState.CANCELLING
    may_end = all_in and facts.state is not BatchState.RECEIVING and facts.state not in TERMINAL
    ended = may_end and facts.finished + sum(counts.values()) >= facts.total
    return {
        "of_batch": batch_id,
        **sums.row("add_"),
        **{f"add_{state}": counts.get(state, 0) for state in ResultState},
        "state": when_all_finished(facts.state) if ended else facts.state,
        "finished_at": at if ended else None,
    }


def _first_of_each_attempt(reports: Sequence[Report], facts: Sequence[Fact]) -> list[tuple[Report, Fact]]:
    seen: set[tuple[JobKey, int]] = set()
    live = []
    for report, fact in zip(reports, facts, strict=True):
        attempt = (report.key, report.number)
        may = (AttemptState.OPEN,) if report.state is AttemptState.UNKNOWN else _MAY_REPORT
        if attempt not in seen and fact.attempt in may:
            seen.add(attempt)
            live.append((report, fact))
    return live


def _winners(live: Sequence[tuple[Report, Fact]]) -> dict[JobKey, Report]:
    winners: dict[JobKey, Report] = {}
    for report, fact in live:
        if fact.finished or not isinstance(report.then, Conclusion):
            continue
        best = winners.get(report.key)
        if best is None or (_succeeded(report) and not _succeeded(best)):
            winners[report.key] = report
    return winners


def _kept_parts(
    live: Sequence[tuple[Report, Fact]], winners: Mapping[JobKey, Report]
) -> dict[tuple[JobKey, int], tuple[Report, Part]]:
    """The first report for each free place of an answer that is not whole yet."""
    kept: dict[tuple[JobKey, int], tuple[Report, Part]] = {}
    for report, fact in live:
        if isinstance(report.then, Part) and not fact.finished and report.key not in winners:
            number = report.then.number
            if all(there.number != number for there in fact.parts):
                kept.setdefault((report.key, number), (report, report.then))
    return kept


def _again(report: Report, fact: Fact) -> Again | None:
    """How a job goes on that its open attempt did not finish; also when that brought a part for a taken place."""
    if fact.finished or fact.attempt is not AttemptState.OPEN:
        return None
    match report.then:
        case Again():
            return report.then
        case Part():
            return _NEXT_PART
        case Conclusion() | None:
            return None
        case _:
            assert_never(report.then)


def _succeeded(report: Report) -> bool:
    return isinstance(report.then, Conclusion) and report.then.state is ResultState.SUCCEEDED
