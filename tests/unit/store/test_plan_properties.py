"""The rules of a plan over any reports, in any order, cut into any flushes, sent any number of times.

A small ledger in memory applies each plan, so that the facts of the next one are what a database would say.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from broker.domain.attempt import AttemptState
from broker.domain.batch import TERMINAL, BatchState
from broker.domain.job import JobKey
from broker.domain.report import Again, Part, Report
from broker.domain.result import ResultState
from broker.domain.usage import Usage
from broker.store.facts import BatchFacts, Fact, KeptPart
from broker.store.plan import Plan, plan
from broker.store.record import _may_have_parts
from broker.testing.builders import a_failure, a_report, a_usage, an_answer

JOBS = 4
MOST_ATTEMPTS = 3
ENDINGS = st.sampled_from(["answer", "failure", "refused", "retry", "unknown", "gave up"])
WITH_PARTS = ENDINGS | st.just("part")
PLACES = 2


@dataclass
class Books:
    """What a database would hold."""

    total: int = JOBS
    state: BatchState = BatchState.RUNNING
    attempts: dict[tuple[JobKey, int], AttemptState] = field(default_factory=dict)
    results: dict[JobKey, tuple[int, ResultState]] = field(default_factory=dict)
    parts: dict[JobKey, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    """Of each job: what is kept for each place, by the number of its attempt."""
    usage: dict[JobKey, int | None] = field(default_factory=dict)
    """Input tokens of results."""
    tokens: dict[tuple[JobKey, int], int | None] = field(default_factory=dict)
    """Input tokens of attempts."""
    due: set[JobKey] = field(default_factory=set)
    spent: Counter[str] = field(default_factory=Counter)
    hours: Counter[int] = field(default_factory=Counter)
    cost: Decimal = Decimal(0)

    def open(self, key: JobKey, number: int) -> None:
        self.attempts[key, number] = AttemptState.OPEN

    def commit(self, reports: Sequence[Report]) -> Plan:
        facts = [self._fact(report) for report in reports]
        batch = BatchFacts(
            state=self.state, total=self.total, finished=len(self.results), project="default", tag="nightly"
        )
        decided = plan(reports, facts, {1: batch}, at=0.0)
        self._apply(decided)
        return decided

    def _fact(self, report: Report) -> Fact:
        attempt = self.attempts.get((report.key, report.number))
        parts = self.parts[report.key] if _may_have_parts(report.number, attempt) else {}
        return Fact(
            attempt=attempt,
            finished=report.key in self.results,
            due=report.key in self.due,
            parts=tuple(
                KeptPart(number=place, usage=Usage(input_tokens=self.tokens[report.key, number]), cost=None)
                for place, number in sorted(parts.items())
            ),
        )

    def _apply(self, decided: Plan) -> None:
        for row in decided.results:
            key = JobKey(row["batch_id"], row["position"])
            assert key not in self.results, "a second result"
            self.results[key] = (row["seq"], row["state"])
            self.usage[key] = row["input_tokens"]
        for row in decided.parts:
            places = self.parts[JobKey(row["batch_id"], row["position"])]
            assert row["part"] not in places, "a second answer for one place"
            places[row["part"]] = row["number"]
        for key in decided.no_parts:
            del self.parts[key]
        for row in decided.attempts:
            attempt = JobKey(row["of_batch"], row["of_position"]), row["of_number"]
            self.attempts[attempt] = row["state"]
            self.tokens[attempt] = row["input_tokens"]
        self.due -= set(decided.not_due)
        self.due |= {JobKey(row["batch_id"], row["position"]) for row in decided.due}
        for row in decided.hourly:
            self.hours[row["hour"]] += row["attempts"]
        for row in decided.batches:
            self.state = row["state"]
            self.cost += row["add_cost"]
            self.spent.update(
                {name: row[f"add_{name}"] for name in ("attempts", "input_tokens", "succeeded", "failed")}
            )


def ending(key: JobKey, number: int, kind: str, seed: int) -> Report:
    draw = random.Random(seed)
    usage, cost = a_usage(draw.randint(1, 99)), Decimal(draw.randint(1, 10**6)).scaleb(-10)
    at = draw.choice([0.0, 3_600.0, 7_200.0])
    match kind:
        case "answer" | "part":
            part = Part(number=draw.randrange(PLACES), body=b"") if kind == "part" else None
            return a_report(key, number, then=part, usage=usage, cost=cost, finished_at=at)
        case "failure":
            return a_report(key, number, AttemptState.FAILED, a_failure(key), usage=usage, cost=cost, finished_at=at)
        case "refused":
            return a_report(key, number, AttemptState.REFUSED, Again(in_s=1, why="busy"), finished_at=at)
        case "retry":
            again = Again(in_s=1, why="malformed")
            return a_report(key, number, AttemptState.FAILED, again, usage=usage, cost=cost, finished_at=at)
        case "unknown":
            return a_report(key, number, AttemptState.UNKNOWN, Again(in_s=0, why="unknown"), finished_at=at)
        case _:
            return a_report(key, number, AttemptState.UNKNOWN, a_failure(key), finished_at=at)


@st.composite
def flushes(
    draw: st.DrawFn, endings: st.SearchStrategy[str] = ENDINGS
) -> tuple[Books, list[Report], list[list[Report]]]:
    """Books with attempts open or unknown, their reports, and these shuffled, repeated and cut into flushes."""
    books = Books()
    reports = []
    for position in range(JOBS):
        key = JobKey(1, position)
        numbers = range(1, draw(st.integers(1, MOST_ATTEMPTS)) + 1)
        for number in numbers:
            last = number == numbers[-1]
            books.attempts[key, number] = AttemptState.OPEN if last else AttemptState.UNKNOWN
            kind = draw(endings if last else endings.filter(lambda kind: kind not in ("unknown", "gave up")))
            reports.append(ending(key, number, kind, draw(st.integers(0, 2**32))))
    sent = draw(st.permutations(reports + draw(st.lists(st.sampled_from(reports), max_size=8))))
    cuts = sorted(draw(st.sets(st.integers(1, len(sent) - 1), max_size=4)))
    return books, reports, [list(sent[a:b]) for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)]


@settings(max_examples=300, deadline=None)
@given(case=flushes(WITH_PARTS))
def test_sums_are_the_same_over_any_order_and_any_repetition(
    case: tuple[Books, list[Report], list[list[Report]]],
) -> None:
    books, reports, sent = case
    for flush in sent:
        books.commit(flush)
    counted = [report for report in reports if report.state is not AttemptState.UNKNOWN]
    assert books.spent["attempts"] == sum(books.hours.values()) == len(counted)
    assert books.spent["input_tokens"] == sum(report.usage.input_tokens or 0 for report in counted)
    assert books.cost == sum((report.cost or Decimal(0) for report in counted), Decimal(0))


@settings(max_examples=300, deadline=None)
@given(case=flushes())
def test_each_job_has_one_winner_and_the_order_of_results_has_no_gap(
    case: tuple[Books, list[Report], list[list[Report]]],
) -> None:
    books, reports, sent = case
    for flush in sent:
        books.commit(flush)
    assert sorted(seq for seq, _ in books.results.values()) == list(range(1, len(books.results) + 1))
    assert books.spent["succeeded"] + books.spent["failed"] == len(books.results)
    answered = {report.key for report in reports if report.state is AttemptState.OK}
    ok = Counter(key for (key, _), state in books.attempts.items() if state is AttemptState.OK)
    succeeded = {key for key, (_, state) in books.results.items() if state is ResultState.SUCCEEDED}
    assert set(ok) == succeeded
    assert set(ok.values()) <= {1}
    assert answered <= books.results.keys()


@settings(max_examples=200, deadline=None)
@given(case=flushes())
def test_one_flush_prefers_answers_to_failures(case: tuple[Books, list[Report], list[list[Report]]]) -> None:
    books, reports, sent = case
    books.commit([report for flush in sent for report in flush])
    for key in {report.key for report in reports if report.state is AttemptState.OK}:
        assert books.results[key][1] is ResultState.SUCCEEDED


@settings(max_examples=200, deadline=None)
@given(case=flushes(WITH_PARTS))
def test_sending_everything_again_changes_nothing(case: tuple[Books, list[Report], list[list[Report]]]) -> None:
    books, _, sent = case
    for flush in sent:
        books.commit(flush)
    for flush in sent:
        decided = books.commit(flush)
        assert (decided.results, decided.attempts, decided.due, decided.hourly) == ([], [], [], [])
        assert (decided.parts, decided.no_parts) == ([], [])


@settings(max_examples=300, deadline=None)
@given(case=flushes(WITH_PARTS))
def test_a_good_answer_is_the_result_or_a_part_that_is_kept_or_discarded(
    case: tuple[Books, list[Report], list[list[Report]]],
) -> None:
    """And none of them twice, in any order and any flushes."""
    books, reports, sent = case
    for flush in sent:
        books.commit(flush)
    good = {(report.key, report.number): report.then for report in reports if report.state is AttemptState.OK}
    for (key, number), then in good.items():
        state = books.attempts[key, number]
        assert state in (AttemptState.OK, AttemptState.DISCARDED)
        if isinstance(then, Part) and key not in books.results:
            assert (state is AttemptState.OK) == (books.parts[key].get(then.number) == number)
    assert not any(books.parts[key] for key in books.results)


class AnyJobs(RuleBasedStateMachine):
    """Whatever happens to a job, in whatever order: it is always owned by somebody, and finished once.

    Each job takes one call more than the one before it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.books = Books()
        self.books.due = {JobKey(1, position) for position in range(JOBS)}
        self.ended_as: BatchState | None = None
        self.first: dict[JobKey, tuple[int, ResultState]] = {}
        self.sent: list[Report] = []
        self.parts_seen: dict[tuple[JobKey, int], int] = {}
        """How many parts there were when an attempt was claimed."""

    def _attempts(self, *states: AttemptState) -> list[tuple[JobKey, int]]:
        return sorted(attempt for attempt, state in self.books.attempts.items() if state in states)

    @precondition(lambda self: self.books.due and self.books.state is BatchState.RUNNING)
    @rule(pick=st.randoms())
    def claim(self, pick: random.Random) -> None:
        key = pick.choice(sorted(self.books.due))
        self.books.due.discard(key)
        if key not in self.books.results and not any(k == key for k, _ in self._attempts(AttemptState.OPEN)):
            number = max((n for k, n in self.books.attempts if k == key), default=0) + 1
            self.books.open(key, number)
            self.parts_seen[key, number] = len(self.books.parts[key])

    def _ending(self, key: JobKey, number: int, kind: str, seed: int) -> Report:
        report, seen = ending(key, number, kind, seed), self.parts_seen[key, number]
        if kind != "answer":
            return report
        last = seen == key.position
        return replace(report, then=replace(an_answer(key), parts=seen) if last else Part(number=seen, body=b""))

    @precondition(lambda self: self._attempts(AttemptState.OPEN))
    @rule(pick=st.randoms(), kind=ENDINGS, seed=st.integers(0, 2**32))
    def report(self, pick: random.Random, kind: str, seed: int) -> None:
        self._send(self._ending(*pick.choice(self._attempts(AttemptState.OPEN)), kind, seed))

    @precondition(lambda self: self._attempts(AttemptState.UNKNOWN))
    @rule(pick=st.randoms(), kind=ENDINGS, seed=st.integers(0, 2**32))
    def report_late(self, pick: random.Random, kind: str, seed: int) -> None:
        self._send(self._ending(*pick.choice(self._attempts(AttemptState.UNKNOWN)), kind, seed))

    @rule(pick=st.randoms())
    def send_again(self, pick: random.Random) -> None:
        again = pick.sample(self.sent, min(3, len(self.sent)))
        spent = self.books.spent.copy()
        self.books.commit([report for report in again if self._has_reported(report)])
        assert self.books.spent == spent

    def _has_reported(self, report: Report) -> bool:
        return self.books.attempts[report.key, report.number] not in (AttemptState.OPEN, AttemptState.UNKNOWN)

    def _send(self, report: Report) -> None:
        self.books.commit([report])
        self.sent.append(report)

    @precondition(lambda self: self.books.state is BatchState.RUNNING)
    @rule()
    def cancel(self) -> None:
        self.books.state = BatchState.CANCELLING

    @invariant()
    def somebody_owns_every_job(self) -> None:
        in_flight = {key for key, _ in self._attempts(AttemptState.OPEN)}
        for key in (JobKey(1, position) for position in range(JOBS)):
            assert key in self.books.results or key in in_flight or key in self.books.due

    @invariant()
    def a_result_stays_as_it_was(self) -> None:
        for key, result in self.first.items():
            assert self.books.results[key] == result
        self.first = dict(self.books.results)

    @invariant()
    def a_terminal_state_stays_as_it_was(self) -> None:
        assert self.ended_as in (None, self.books.state)
        if self.books.state in TERMINAL:
            self.ended_as = self.books.state
        assert (self.books.state in TERMINAL) == (len(self.books.results) == JOBS)

    @invariant()
    def no_finished_job_is_due(self) -> None:
        assert not self.books.due & self.books.results.keys()

    @invariant()
    def parts_stand_in_a_row_and_go_with_the_result(self) -> None:
        for key, places in self.books.parts.items():
            assert sorted(places) == list(range(len(places)))
            assert len(places) <= key.position
            assert not places or key not in self.books.results
            assert all(self.books.attempts[key, number] is AttemptState.OK for number in places.values())

    @invariant()
    def a_good_result_is_made_of_as_many_answers_as_its_job_takes_and_has_used_what_they_have(self) -> None:
        for key, (_, state) in self.books.results.items():
            good = [(k, n) for k, n in self._attempts(AttemptState.OK) if k == key]
            if state is ResultState.SUCCEEDED:
                assert len(good) == key.position + 1
                assert self.books.usage[key] == sum(self.books.tokens[each] or 0 for each in good)
            else:
                assert len(good) <= key.position


TestAnyJobs = AnyJobs.TestCase
TestAnyJobs.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
