"""What follows from a set of reports, one rule at a time."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from broker.domain.attempt import AttemptState
from broker.domain.batch import BatchState
from broker.domain.report import Again, Part, Report
from broker.domain.result import ResultState
from broker.domain.usage import Usage, UsageSource
from broker.store.facts import BatchFacts, Fact, KeptPart
from broker.store.plan import Plan, plan
from broker.testing.builders import a_failure, a_report, a_usage, an_answer

AT = 1_800_000_100.0
AGAIN = Again(in_s=5.0, why="overloaded")
OPEN = Fact(attempt=AttemptState.OPEN, finished=False, due=False)
UNKNOWN = Fact(attempt=AttemptState.UNKNOWN, finished=False, due=False)


def a_fact(
    attempt: AttemptState | None = AttemptState.OPEN,
    *,
    finished: bool = False,
    due: bool = False,
    parts: tuple[KeptPart, ...] = (),
) -> Fact:
    return Fact(attempt=attempt, finished=finished, due=due, parts=parts)


def a_running(state: BatchState = BatchState.RUNNING, *, total: int = 100, finished: int = 0) -> BatchFacts:
    return BatchFacts(state=state, total=total, finished=finished, project="default", tag="nightly")


def decide(reports: Sequence[Report], facts: Sequence[Fact], batch: BatchFacts | None = None) -> Plan:
    return plan(reports, facts, {1: batch or a_running()}, at=AT)


def test_a_good_answer_becomes_the_result() -> None:
    decided = decide([a_report((1, 7))], [OPEN], a_running(finished=4))
    (result,) = decided.results
    assert (result["position"], result["seq"], result["state"]) == (7, 5, ResultState.SUCCEEDED)
    assert (result["attempts"], result["cost"], result["finished_at"]) == (1, Decimal("0.0000000125"), AT)
    assert [row["state"] for row in decided.attempts] == [AttemptState.OK]


@pytest.mark.parametrize(
    "state", [None, AttemptState.OK, AttemptState.REFUSED, AttemptState.FAILED, AttemptState.DISCARDED]
)
def test_a_report_whose_attempt_has_reported_changes_nothing(state: AttemptState | None) -> None:
    assert decide([a_report((1, 0))], [a_fact(state)]) == Plan()


def test_a_repeat_within_one_flush_counts_once() -> None:
    decided = decide([a_report((1, 0)), a_report((1, 0))], [OPEN, OPEN])
    assert (len(decided.results), len(decided.attempts), decided.batches[0]["add_attempts"]) == (1, 1, 1)


def test_an_unknown_outcome_is_not_reported_twice() -> None:
    assert decide([a_report((1, 0), 1, AttemptState.UNKNOWN, AGAIN)], [UNKNOWN]) == Plan()


def test_of_two_good_answers_the_first_wins_and_the_other_keeps_its_cost() -> None:
    first, second = a_report((1, 0), 2, cost=Decimal("0.2")), a_report((1, 0), 1, cost=Decimal("0.1"))
    decided = decide([first, second], [OPEN, UNKNOWN])
    assert [row["cost"] for row in decided.results] == [Decimal("0.2")]
    assert [row["state"] for row in decided.attempts] == [AttemptState.OK, AttemptState.DISCARDED]
    assert [row["cost"] for row in decided.attempts] == [Decimal("0.2"), Decimal("0.1")]
    assert (decided.batches[0]["add_cost"], decided.batches[0]["add_succeeded"]) == (Decimal("0.3"), 1)


def test_a_good_answer_beats_an_earlier_failure() -> None:
    failed = a_report((1, 0), 1, AttemptState.FAILED, a_failure(a_report((1, 0)).key))
    decided = decide([failed, a_report((1, 0), 2)], [OPEN, UNKNOWN])
    assert [row["state"] for row in decided.results] == [ResultState.SUCCEEDED]
    assert [row["state"] for row in decided.attempts] == [AttemptState.FAILED, AttemptState.OK]


def test_an_answer_to_a_finished_job_is_discarded_with_its_usage() -> None:
    decided = decide([a_report((1, 0))], [a_fact(finished=True)])
    assert decided.results == []
    assert [row["state"] for row in decided.attempts] == [AttemptState.DISCARDED]
    assert (decided.attempts[0]["input_tokens"], decided.batches[0]["add_input_tokens"]) == (10, 10)


def test_a_late_answer_of_an_unknown_attempt_is_accepted_while_the_job_has_no_result() -> None:
    decided = decide([a_report((1, 0))], [a_fact(AttemptState.UNKNOWN, due=True)])
    assert [row["state"] for row in decided.attempts] == [AttemptState.OK]
    assert len(decided.results) == 1
    assert decided.not_due == [(1, 0)]


def test_a_retry_hands_the_job_back() -> None:
    decided = decide([a_report((1, 3), 1, AttemptState.REFUSED, AGAIN)], [OPEN])
    assert decided.due == [{"batch_id": 1, "position": 3, "at": AT + 5.0, "why": "overloaded"}]
    assert decided.results == []


@pytest.mark.parametrize("fact", [UNKNOWN, a_fact(finished=True)], ids=["handed on before", "finished"])
def test_a_job_that_is_no_longer_the_attempts_own_is_not_handed_back(fact: Fact) -> None:
    assert decide([a_report((1, 3), 1, AttemptState.REFUSED, AGAIN)], [fact]).due == []


def test_a_job_that_is_finished_in_the_same_flush_is_not_handed_back() -> None:
    reports = [a_report((1, 3), 2, AttemptState.REFUSED, AGAIN), a_report((1, 3), 1)]
    decided = decide(reports, [OPEN, UNKNOWN])
    assert (decided.due, len(decided.results)) == ([], 1)


def a_part(key: tuple[int, int], number: int, attempt: int = 1) -> Report:
    return a_report(key, attempt, then=Part(number=number, body=b"%d" % attempt))


def kept(*numbers: int, cost: Decimal | None = None) -> tuple[KeptPart, ...]:
    return tuple(KeptPart(number=number, usage=a_usage(number), cost=cost) for number in numbers)


def test_a_part_is_kept_and_its_job_due_at_once() -> None:
    decided = decide([a_part((1, 3), 0)], [OPEN])
    assert decided.parts == [{"batch_id": 1, "position": 3, "part": 0, "number": 1, "body": b"1"}]
    assert decided.due == [{"batch_id": 1, "position": 3, "at": AT, "why": "next_part"}]
    assert [row["state"] for row in decided.attempts] == [AttemptState.OK]
    assert (decided.results, decided.no_parts, decided.batches[0]["add_attempts"]) == ([], [], 1)


def test_a_late_part_is_kept_and_hands_nothing_on() -> None:
    decided = decide([a_part((1, 3), 1)], [a_fact(AttemptState.UNKNOWN, due=True, parts=kept(0))])
    assert (len(decided.parts), decided.due, decided.not_due) == (1, [], [])


def test_of_two_parts_for_one_place_the_first_is_kept() -> None:
    decided = decide([a_part((1, 3), 0, 1), a_part((1, 3), 0, 2), a_part((1, 4), 0)], [UNKNOWN, OPEN, OPEN])
    assert [(row["position"], row["number"]) for row in decided.parts] == [(3, 1), (4, 1)]
    assert [row["state"] for row in decided.attempts] == [AttemptState.OK, AttemptState.DISCARDED, AttemptState.OK]
    assert [row["position"] for row in decided.due] == [3, 4]


@pytest.mark.parametrize("attempt", [AttemptState.OPEN, AttemptState.UNKNOWN])
def test_a_part_for_a_taken_place_is_discarded(attempt: AttemptState) -> None:
    decided = decide([a_part((1, 3), 1, 3)], [a_fact(attempt, parts=kept(0, 1))])
    assert (decided.parts, [row["state"] for row in decided.attempts]) == ([], [AttemptState.DISCARDED])
    assert len(decided.due) == (attempt is AttemptState.OPEN)


@pytest.mark.parametrize("attempt", [AttemptState.OPEN, AttemptState.UNKNOWN])
def test_a_part_of_a_finished_job_is_discarded_and_hands_nothing_on(attempt: AttemptState) -> None:
    decided = decide([a_part((1, 3), 0)], [a_fact(attempt, finished=True)])
    assert (decided.parts, decided.due) == ([], [])
    assert [row["state"] for row in decided.attempts] == [AttemptState.DISCARDED]


def test_the_result_ends_the_parts_and_has_used_what_those_it_is_made_of_have() -> None:
    report = a_report((1, 3), 4, cost=Decimal("0.5"))
    report = replace(report, then=replace(an_answer(report.key), parts=2))
    facts = a_fact(parts=kept(0, 1, 2, cost=Decimal("0.25")))
    decided = decide([report], [facts])
    (result,) = decided.results
    assert (result["cost"], result["input_tokens"]) == (Decimal("1.00"), 10 + 0 + 1)
    assert decided.no_parts == [(1, 3)]
    assert decided.attempts[0]["cost"] == decided.batches[0]["add_cost"] == Decimal("0.5")


def test_a_report_that_does_not_win_ends_no_parts() -> None:
    decided = decide([a_report((1, 3), 2, AttemptState.FAILED, AGAIN)], [a_fact(parts=kept(0))])
    assert (decided.no_parts, len(decided.due)) == ([], 1)


def test_an_unknown_outcome_adds_to_no_sum() -> None:
    decided = decide([a_report((1, 0), 1, AttemptState.UNKNOWN, AGAIN)], [OPEN])
    assert (decided.hourly, decided.batches) == ([], []) or decided.batches[0]["add_attempts"] == 0
    assert [row["state"] for row in decided.attempts] == [AttemptState.UNKNOWN]
    assert len(decided.due) == 1


def test_an_unknown_outcome_may_end_its_job() -> None:
    report = a_report((1, 0), 1, AttemptState.UNKNOWN, a_failure(a_report((1, 0)).key))
    decided = decide([report], [OPEN])
    assert [row["state"] for row in decided.results] == [ResultState.FAILED]
    assert decided.batches[0]["add_failed"] == 1
    assert decided.hourly == []


def test_hours_are_summed_by_the_time_of_the_report_and_sorted() -> None:
    times = [7_200.0, 3_599.9, 7_199.9, 3_600.0]
    decided = decide([a_report((1, n), finished_at=at) for n, at in enumerate(times)], [OPEN] * 4)
    assert [(row["hour"], row["attempts"], row["input_tokens"]) for row in decided.hourly] == [
        (0, 1, 10),
        (3_600, 2, 20),
        (7_200, 1, 10),
    ]


def test_an_attempt_that_used_tokens_at_no_known_price_is_counted_as_unpriced() -> None:
    used = Usage(input_tokens=1, source=UsageSource.REPORTED)
    unpriced = a_report((1, 0), 1, AttemptState.FAILED, AGAIN, usage=used)
    refused = a_report((1, 1), 1, AttemptState.REFUSED, AGAIN)
    decided = decide([unpriced, refused, a_report((1, 2))], [OPEN] * 3)
    assert decided.batches[0]["add_unpriced"] == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (BatchState.RUNNING, BatchState.COMPLETED),
        (BatchState.PAUSED, BatchState.COMPLETED),
        (BatchState.CANCELLING, BatchState.CANCELLED),
    ],
)
def test_the_last_result_ends_its_batch(before: BatchState, after: BatchState) -> None:
    decided = decide([a_report((1, 0))], [OPEN], a_running(before, total=3, finished=2))
    assert (decided.batches[0]["state"], decided.batches[0]["finished_at"]) == (after, AT)
    assert decided.completed == [1]


def test_a_batch_goes_on_while_a_job_is_left() -> None:
    decided = decide([a_report((1, 0))], [OPEN], a_running(total=3, finished=1))
    assert (decided.batches[0]["state"], decided.batches[0]["finished_at"]) == (BatchState.RUNNING, None)
    assert decided.completed == []


@pytest.mark.parametrize("state", [BatchState.COMPLETED, BatchState.CANCELLED])
def test_a_late_answer_never_rewrites_the_state_of_a_batch_that_ended(state: BatchState) -> None:
    decided = decide(
        [a_report((1, 0))], [a_fact(AttemptState.UNKNOWN, finished=True)], a_running(state, total=1, finished=1)
    )
    assert decided.batches[0]["state"] is state
    assert decided.batches[0]["add_attempts"] == 1


def test_a_batch_that_ended_before_is_not_said_to_end_again() -> None:
    ended = a_running(BatchState.COMPLETED, total=1, finished=1)
    assert decide([a_report((1, 0))], [a_fact(AttemptState.UNKNOWN, finished=True)], ended).completed == []


def test_each_batch_has_its_own_numbers() -> None:
    reports = [a_report((2, 0)), a_report((1, 0)), a_report((2, 1))]
    decided = plan(reports, [OPEN] * 3, {1: a_running(finished=8), 2: a_running(finished=0)}, at=AT)
    assert [(row["batch_id"], row["seq"]) for row in decided.results] == [(2, 1), (1, 9), (2, 2)]
    assert {row["of_batch"]: row["add_succeeded"] for row in decided.batches} == {1: 1, 2: 2}
