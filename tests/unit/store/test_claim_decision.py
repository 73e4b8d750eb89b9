"""Who may call, as a function of what is known of a job."""

from collections import Counter
from collections.abc import Collection
from dataclasses import replace

import pytest

from broker.domain.attempt import ErrorClass
from broker.domain.batch import BatchState
from broker.store.claim import Claimed, Verdict, _decide, _Past
from broker.testing.builders import a_claim

CLOSED = (BatchState.RECEIVING, BatchState.CANCELLING, BatchState.COMPLETED, BatchState.CANCELLED, BatchState.FAILED)


def a_past(number: int = 0, *, open_attempt: str | None = None, lost: int = 0) -> _Past:
    return _Past(number=number, open_attempt=open_attempt, history=Counter({ErrorClass.LOST: lost} if lost else {}))


def decide(
    past: _Past,
    state: BatchState | None = BatchState.RUNNING,
    *,
    finished: bool = False,
    alone: bool = False,
    others: Collection[str] = (),
) -> Claimed:
    claim = replace(a_claim((1, 0), "mine", alone=alone), others=frozenset(others))
    return _decide(claim, "here", state, finished=finished, past=past)


def test_the_first_claim_is_attempt_one() -> None:
    assert decide(a_past()) == Claimed(verdict=Verdict.GRANTED, number=1)


def test_a_new_claim_is_the_attempt_after_the_last_and_knows_what_went_wrong() -> None:
    answer = decide(a_past(3, lost=1))
    assert (answer.verdict, answer.number, answer.history) == (Verdict.GRANTED, 4, {ErrorClass.LOST: 1})


@pytest.mark.parametrize("state", [None, *BatchState])
def test_the_same_claim_again_is_granted_again(state: BatchState | None) -> None:
    assert decide(a_past(3, open_attempt="mine"), state) == Claimed(verdict=Verdict.GRANTED, number=3)


@pytest.mark.parametrize("state", [None, *BatchState])
def test_a_job_with_a_result_is_finished_whatever_its_batch(state: BatchState | None) -> None:
    assert decide(a_past(1, open_attempt="mine"), state, finished=True).verdict is Verdict.FINISHED


@pytest.mark.parametrize("state", [None, *BatchState])
def test_a_job_that_another_attempt_owns_is_elsewhere(state: BatchState | None) -> None:
    assert decide(a_past(1, open_attempt="theirs"), state).verdict is Verdict.ELSEWHERE


@pytest.mark.parametrize("state", [None, *CLOSED])
def test_a_batch_that_may_not_run_is_closed(state: BatchState | None) -> None:
    assert decide(a_past(), state).verdict is Verdict.CLOSED


def test_a_paused_batch_parks_even_a_job_that_must_run_alone() -> None:
    assert decide(a_past(2, lost=2), BatchState.PAUSED).verdict is Verdict.PAUSED


@pytest.mark.parametrize(("lost", "verdict"), [(1, Verdict.GRANTED), (2, Verdict.ALONE), (4, Verdict.ALONE)])
def test_a_job_that_lost_two_processes_must_run_alone(lost: int, verdict: Verdict) -> None:
    assert decide(a_past(lost, lost=lost)).verdict is verdict
    assert decide(a_past(lost, lost=lost), alone=True).verdict is Verdict.GRANTED


def test_other_trouble_than_deaths_does_not_make_a_job_run_alone() -> None:
    past = _Past(number=9, history=Counter({ErrorClass.OUTCOME_UNKNOWN: 4, ErrorClass.ABORTED: 5}))
    assert decide(past).verdict is Verdict.GRANTED


@pytest.mark.parametrize(
    ("refused_by", "others", "verdict"),
    [
        ({"here"}, {"b"}, Verdict.NOT_HERE),
        ({"here", "b"}, {"b", "c"}, Verdict.NOT_HERE),
        ({"here", "b", "c"}, {"b", "c"}, Verdict.GRANTED),
        ({"b"}, {"b", "c"}, Verdict.GRANTED),
        ({"here"}, (), Verdict.GRANTED),
        ({"here", "gone"}, {"b"}, Verdict.NOT_HERE),
    ],
)
def test_an_account_does_not_get_back_what_it_refused_while_one_is_left_that_has_not(
    refused_by: set[str], others: Collection[str], verdict: Verdict
) -> None:
    answer = decide(_Past(number=2, refused_by=refused_by), others=others)
    assert answer.verdict is verdict
    assert answer.refused_by == (refused_by if verdict is Verdict.GRANTED else set())


@pytest.mark.parametrize("state", [None, *CLOSED, BatchState.PAUSED])
def test_what_was_refused_here_is_no_exception_to_how_its_batch_stands(state: BatchState | None) -> None:
    assert decide(_Past(number=1, refused_by={"here"}), state, others={"b"}).verdict is not Verdict.NOT_HERE


def test_a_claim_tells_the_parts_that_are_there_also_when_it_is_repeated() -> None:
    past = _Past(number=3, answered=True, parts=[b"first", b"second"])
    assert decide(past).parts == (b"first", b"second")
    past.open_attempt = "mine"
    assert decide(past).parts == (b"first", b"second")
