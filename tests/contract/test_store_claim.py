"""Claims on both databases: who may call the provider."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from broker.domain.attempt import REFUSES_FOR_GOOD, AttemptState, CallError, ErrorClass, Scope
from broker.domain.batch import BatchState
from broker.domain.job import JobKey
from broker.domain.report import Again
from broker.store import batches, due, workers
from broker.store.claim import Claimed, Verdict
from broker.store.tables import attempts
from broker.store.tables import due as due_table
from broker.store.workers import Signs
from broker.testing.builders import ACCOUNT, MODEL, PROVIDER, a_claim, a_report
from broker.testing.contracts.store import Ledger, opened

AGAIN = Again(in_s=0, why="overloaded")


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    with opened(database_url) as ledger:
        yield ledger


def verdicts(answers: list[Claimed]) -> list[Verdict]:
    return [answer.verdict for answer in answers]


def test_a_granted_claim_is_an_open_attempt(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    assert ledger.claim(a_claim((batch_id, 2), "att-1")) == [Claimed(verdict=Verdict.GRANTED, number=1)]
    (row,) = ledger.rows(attempts)
    told = ("batch_id", "position", "number", "attempt_id", "worker_id", "account", "provider", "model", "state")
    assert tuple(row[name] for name in told) == (
        *(batch_id, 2, 1, "att-1", ledger.worker, ACCOUNT, PROVIDER, MODEL, "open"),
    )
    assert row["claimed_at"] > 0
    assert row["finished_at"] is None


def test_the_same_claim_again_is_granted_again_with_the_same_number(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    claims = [a_claim((batch_id, position)) for position in range(3)]
    assert ledger.claim(*claims) == ledger.claim(*claims)
    assert len(ledger.rows(attempts)) == 3


def test_the_same_claim_again_is_granted_again_even_while_the_batch_is_cancelled(ledger: Ledger) -> None:
    """Its first answer was lost, and the attempt is open: whoever owns it must be told."""
    batch_id = ledger.batch()
    claim = a_claim((batch_id, 0))
    first = ledger.claim(claim)
    ledger.write(batches.move, batch_id, BatchState.CANCELLING)
    assert ledger.claim(claim) == first


def test_a_job_with_an_open_attempt_is_elsewhere(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    ledger.write(workers.register, "worker-2", ACCOUNT)
    ledger.claim(a_claim((batch_id, 0)))
    assert verdicts(ledger.claim(a_claim((batch_id, 0)), worker="worker-2")) == [Verdict.ELSEWHERE]
    assert verdicts(ledger.claim(a_claim((batch_id, 0)))) == [Verdict.ELSEWHERE]


def test_a_job_that_came_twice_in_one_claim_is_granted_once(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    answers = ledger.claim(a_claim((batch_id, 1), "first"), a_claim((batch_id, 0)), a_claim((batch_id, 1), "second"))
    assert verdicts(answers) == [Verdict.GRANTED, Verdict.GRANTED, Verdict.ELSEWHERE]
    assert [row["attempt_id"] for row in ledger.rows(attempts) if row["position"] == 1] == ["first"]


def test_answers_come_in_the_order_of_the_claims_over_batches(ledger: Ledger) -> None:
    first, second = ledger.batch(), ledger.batch()
    ledger.claim_all(first, 1)
    ledger.record(a_report((first, 0)))
    ledger.write(batches.move, second, BatchState.PAUSED)
    answers = ledger.claim(*(a_claim(key) for key in [(second, 1), (first, 2), (first, 0), (999, 0), (first, 1)]))
    assert verdicts(answers) == [
        *(Verdict.PAUSED, Verdict.GRANTED, Verdict.FINISHED, Verdict.CLOSED, Verdict.GRANTED),
    ]


def test_a_finished_job_is_not_granted(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    ledger.claim_all(batch_id, 1)
    ledger.record(a_report((batch_id, 0)))
    assert verdicts(ledger.claim(a_claim((batch_id, 0)))) == [Verdict.FINISHED]


def test_a_claim_whose_attempt_has_ended_is_not_granted_as_that_attempt(ledger: Ledger) -> None:
    """A repeat after the answer was recorded: the job is finished, whoever asks."""
    batch_id = ledger.batch()
    claim = a_claim((batch_id, 0))
    ledger.claim(claim)
    ledger.record(a_report((batch_id, 0)))
    assert verdicts(ledger.claim(claim)) == [Verdict.FINISHED]


@pytest.mark.parametrize("state", [BatchState.CANCELLING, BatchState.CANCELLED, BatchState.COMPLETED])
def test_nothing_of_a_batch_that_may_not_run_is_granted(ledger: Ledger, state: BatchState) -> None:
    batch_id = ledger.batch()
    if state is BatchState.CANCELLED:
        ledger.write(batches.move, batch_id, BatchState.CANCELLING)
    ledger.write(batches.move, batch_id, state)
    assert verdicts(ledger.claim(a_claim((batch_id, 0)))) == [Verdict.CLOSED]
    assert (ledger.rows(attempts), ledger.rows(due_table)) == ([], [])


def test_a_grant_tells_what_went_wrong_before(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    for number in (1, 2):
        ledger.claim(a_claim((batch_id, 0)))
        ledger.record(a_report((batch_id, 0), number, AttemptState.REFUSED, AGAIN))
    ledger.claim(a_claim((batch_id, 0)))
    ledger.record(a_report((batch_id, 0), 3, AttemptState.FAILED, AGAIN))
    (answer,) = ledger.claim(a_claim((batch_id, 0)))
    assert (answer.number, answer.history) == (4, {ErrorClass.RATE_LIMITED: 2, ErrorClass.SERVER_ERROR: 1})


def test_a_job_that_lost_two_processes_is_granted_alone_only(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    key = JobKey(batch_id, 0)
    ledger.dies(key, worker="dead-1")
    assert verdicts(ledger.claim(a_claim(key, "probe"))) == [Verdict.GRANTED]
    ledger.record(a_report(key, 2, AttemptState.REFUSED, AGAIN))
    ledger.dies(key, worker="dead-2")
    answers = ledger.claim(a_claim(key), a_claim((batch_id, 1)))
    assert verdicts(answers) == [Verdict.ALONE, Verdict.GRANTED]
    (alone,) = ledger.claim(a_claim(key, alone=True))
    assert (alone.verdict, alone.number, alone.history[ErrorClass.LOST]) == (Verdict.GRANTED, 4, 2)


def test_a_job_that_must_run_alone_keeps_its_due_row_until_it_is_granted(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    key = JobKey(batch_id, 0)
    ledger.dies(key, worker="dead-1")
    ledger.dies(key, worker="dead-2")
    ledger.claim(a_claim(key, from_due=True))
    assert ledger.due_keys() == [key]
    ledger.claim(a_claim(key, from_due=True, alone=True))
    assert ledger.due_keys() == []


def test_a_paused_batch_parks_its_jobs_for_the_feeder(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    ledger.write(batches.move, batch_id, BatchState.PAUSED)
    claims = [a_claim((batch_id, position)) for position in (2, 0)]
    assert verdicts(ledger.claim(*claims)) == [Verdict.PAUSED] * 2
    assert verdicts(ledger.claim(*claims)) == [Verdict.PAUSED] * 2
    assert ledger.due_keys() == [(batch_id, 0), (batch_id, 2)]
    assert ledger.write(due.take_due, [], 10) == []
    ledger.write(batches.move, batch_id, BatchState.RUNNING)
    assert sorted(ledger.write(due.take_due, [batch_id], 10)) == [(batch_id, 0), (batch_id, 2)]


def test_an_open_job_of_a_paused_batch_is_not_parked(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    ledger.claim_all(batch_id, 1)
    ledger.write(batches.move, batch_id, BatchState.PAUSED)
    assert verdicts(ledger.claim(a_claim((batch_id, 0)))) == [Verdict.ELSEWHERE]
    assert ledger.due_keys() == []


def test_a_due_row_ends_with_the_claim_that_it_led_to(ledger: Ledger) -> None:
    batch_id = ledger.batch(4)
    ledger.claim_all(batch_id, 1)
    ledger.record(a_report((batch_id, 0)))
    ledger.write(due.make_due, [JobKey(batch_id, position) for position in (1, 2)], "reconciled")
    ledger.claim(a_claim((batch_id, 1), from_due=True), a_claim((batch_id, 2)))
    assert ledger.due_keys() == [(batch_id, 2)]


def test_a_due_row_of_an_open_job_stays_until_its_report(ledger: Ledger) -> None:
    """The due row may be newer than the attempt's end that put it there: only the owner's own claim removes it."""
    batch_id = ledger.batch()
    ledger.claim_all(batch_id, 1)
    ledger.write(due.make_due, [JobKey(batch_id, 0)], "reconciled")
    assert verdicts(ledger.claim(a_claim((batch_id, 0), from_due=True))) == [Verdict.ELSEWHERE]
    assert ledger.due_keys() == [(batch_id, 0)]
    ledger.record(a_report((batch_id, 0)))
    assert ledger.due_keys() == []


def test_a_worker_with_an_old_heartbeat_is_granted_nothing(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    ledger.age_heartbeat(15.5)
    assert verdicts(ledger.claim(a_claim((batch_id, 0)), a_claim((batch_id, 1)))) == [Verdict.STALE] * 2
    assert ledger.rows(attempts) == []
    ledger.write(workers.beat, ledger.worker, Signs(in_flight=0))
    assert verdicts(ledger.claim(a_claim((batch_id, 0)))) == [Verdict.GRANTED]


def test_a_heartbeat_of_ten_seconds_ago_is_fresh(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    ledger.age_heartbeat(10)
    assert verdicts(ledger.claim(a_claim((batch_id, 0)))) == [Verdict.GRANTED]


@pytest.mark.parametrize("worker", ["nobody", "gone"])
def test_a_worker_that_is_not_there_is_granted_nothing(ledger: Ledger, worker: str) -> None:
    batch_id = ledger.batch()
    ledger.write(workers.register, "gone", ACCOUNT)
    ledger.write(workers.stop, "gone")
    assert verdicts(ledger.claim(a_claim((batch_id, 0)), worker=worker)) == [Verdict.STALE]


def test_a_worker_that_was_taken_for_dead_and_beats_is_alive_again(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    ledger.write(workers.condemn, {ledger.worker: next(b.beats for b in ledger.read(workers.beats))})
    assert verdicts(ledger.claim(a_claim((batch_id, 0)))) == [Verdict.STALE]
    ledger.write(workers.beat, ledger.worker, Signs(in_flight=0))
    assert verdicts(ledger.claim(a_claim((batch_id, 0)))) == [Verdict.GRANTED]


def _refused_for_good(ledger: Ledger, error_class: ErrorClass) -> JobKey:
    key = JobKey(ledger.batch(), 0)
    ledger.claim(a_claim(key))
    error = CallError(error_class=error_class, scope=Scope.OTHER, message="not here")
    ledger.record(replace(a_report(key, state=AttemptState.REFUSED, then=AGAIN), error=error))
    return key


@pytest.mark.parametrize("error_class", sorted(REFUSES_FOR_GOOD))
def test_an_account_that_refused_a_job_for_good_leaves_it_to_others(ledger: Ledger, error_class: ErrorClass) -> None:
    key = _refused_for_good(ledger, error_class)
    again = replace(a_claim(key, from_due=True), others=frozenset({"other"}))
    assert verdicts(ledger.claim(again)) == [Verdict.NOT_HERE]
    assert [row["why"] for row in ledger.rows(due_table)] == ["not_here"]
    assert verdicts(ledger.claim(again, account="another")) == [Verdict.GRANTED]
    assert ledger.rows(due_table) == []


def test_a_job_reaches_the_one_account_of_three_that_has_not_refused_it(ledger: Ledger) -> None:
    """However the turns fall: the two that have are told so, and the third is told who has."""
    key = _refused_for_good(ledger, ErrorClass.UNTRANSLATABLE)
    pool = frozenset({ACCOUNT, "b", "c"})

    def claimed(account: str) -> Claimed:
        claim = replace(a_claim(key, from_due=True), others=pool - {account})
        return ledger.claim(claim, account=account)[0]

    assert claimed(ACCOUNT).verdict is Verdict.NOT_HERE
    second = claimed("b")
    assert (second.verdict, second.refused_by) == (Verdict.GRANTED, frozenset({ACCOUNT}))
    error = CallError(error_class=ErrorClass.NOT_FOUND, scope=Scope.OTHER, message="not here")
    ledger.record(replace(a_report(key, 2, AttemptState.REFUSED, AGAIN, account="b"), error=error))
    assert [claimed(account).verdict for account in (ACCOUNT, "b")] == [Verdict.NOT_HERE] * 2
    third = claimed("c")
    assert (third.verdict, third.refused_by) == (Verdict.GRANTED, frozenset({ACCOUNT, "b"}))


def test_an_account_that_nobody_can_stand_in_for_tries_again(ledger: Ledger) -> None:
    key = _refused_for_good(ledger, ErrorClass.NOT_FOUND)
    assert verdicts(ledger.claim(a_claim(key, from_due=True))) == [Verdict.GRANTED]
