"""What follows from a set of reports: decided in one pure function, for both databases.

- A report whose attempt has already reported is dropped: it is a repeat.
- A job's result is its first succeeded report, else its first failed one, unless it has one already.
- A good answer that did not become the result is `discarded`: its usage and cost count, its body goes.
- A job is handed back only by an attempt that was open: an unknown one was handed on when it became unknown.
- Sums count every attempt that reports here, winner or not. An unknown outcome has not reported.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from broker.domain.attempt import AttemptState, moved
from broker.domain.batch import TERMINAL, BatchState, when_all_finished
from broker.domain.job import JobKey
from broker.domain.money import ZERO
from broker.domain.report import Again, Conclusion, Report
from broker.domain.result import ResultState
from broker.domain.usage import UsageSource

Row = dict[str, Any]
_MAY_REPORT = (AttemptState.OPEN, AttemptState.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What the database knows of one report's attempt and job, under the batch lock."""

    attempt: AttemptState | None
    finished: bool
    due: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFacts:
    """A locked batch."""

    state: BatchState
    total: int
    finished: int
    project: str
    tag: str
    sealed: bool = True
    """No more jobs will come."""


@dataclass(slots=True, kw_only=True)
class Plan:
    """Rows to write, in the order of writing."""

    results: list[Row] = field(default_factory=list)
    attempts: list[Row] = field(default_factory=list)
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
    decided = Plan()
    changes: dict[int, _BatchChange] = defaultdict(_BatchChange)
    hourly: dict[tuple[Any, ...], Sums] = defaultdict(Sums)

    for report, fact in live:
        batch, change = batches[report.key.batch_id], changes[report.key.batch_id]
        won = winners.get(report.key) is report
        late = fact.attempt is AttemptState.UNKNOWN
        state = report.state
        if state is AttemptState.OK and not won:
            state = AttemptState.DISCARDED
        decided.attempts.append(_attempt_row(report, moved(fact.attempt or AttemptState.OPEN, state)))
        if state is not AttemptState.UNKNOWN:
            change.sums.add(report)
            hourly[_hour_key(batch, report)].add(report)
        if won and isinstance(report.then, Conclusion):
            change.counts[report.then.state] += 1
            seq = batch.finished + sum(change.counts.values())
            decided.results.append(_result_row(report, report.then, seq, at))
            if fact.due:
                decided.not_due.append(report.key)
        elif isinstance(report.then, Again) and not late and not fact.finished and report.key not in winners:
            decided.due.append(_due_row(report.key, report.then, at))

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


def _succeeded(report: Report) -> bool:
    return isinstance(report.then, Conclusion) and report.then.state is ResultState.SUCCEEDED


def _hour_key(batch: BatchFacts, report: Report) -> tuple[tuple[str, Any], ...]:
    return (
        ("project", batch.project),
        ("tag", batch.tag),
        ("account", report.account),
        ("provider", report.provider),
        ("model", report.model),
        ("hour", int(report.finished_at // 3600) * 3600),
    )


def _usage_columns(report: Report) -> Row:
    usage = report.usage
    return {
        "input_tokens": usage.input_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "usage_source": usage.source,
        "cost": report.cost,
    }


def _attempt_row(report: Report, state: AttemptState) -> Row:
    error = report.error
    return {
        "of_batch": report.key.batch_id,
        "of_position": report.key.position,
        "of_number": report.number,
        "state": state,
        "error_class": error.error_class if error else None,
        "error": _text(error.message) if error else None,
        "status": error.status if error else None,
        "provider_request_id": _text(report.request_id),
        "sent_at": report.sent_at,
        "finished_at": report.finished_at,
        **_usage_columns(report),
        "price_version": report.price_version,
    }


def _result_row(report: Report, conclusion: Conclusion, seq: int, at: float) -> Row:
    return {
        "batch_id": report.key.batch_id,
        "position": report.key.position,
        "seq": seq,
        "custom_id": conclusion.custom_id,
        "state": conclusion.state,
        "status": conclusion.status,
        "body": conclusion.body,
        "error_code": _text(conclusion.error_code),
        "error_message": _text(conclusion.error_message),
        "request_id": _text(report.request_id),
        **_usage_columns(report),
        "account": report.account,
        "provider": report.provider,
        "model": _text(conclusion.model),
        "attempts": report.number,
        "finished_at": at,
    }


def _text(said: str | None) -> str | None:
    """What a provider said, without what a database cannot hold (NUL, half surrogates): a paid answer must be kept."""
    if not said or (said.isascii() and "\x00" not in said):
        return said
    return said.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _due_row(key: JobKey, again: Again, at: float) -> Row:
    return {"batch_id": key.batch_id, "position": key.position, "at": at + again.in_s, "why": again.why}
