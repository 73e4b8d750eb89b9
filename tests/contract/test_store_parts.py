"""Jobs that take several calls, on both databases: every paid answer is kept until the last one makes the result."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from broker.domain.attempt import AttemptState, CallError, ErrorClass, Scope
from broker.domain.batch import BatchState
from broker.domain.job import JobKey
from broker.domain.loss import Loss, LossClass
from broker.domain.report import Again, Conclusion, Part, Report
from broker.domain.result import ResultState
from broker.domain.usage import Usage, UsageSource
from broker.store import batches, due, workers
from broker.store.claim import Claimed, Verdict
from broker.store.finish import sweep
from broker.store.plan import Plan
from broker.store.tables import due as due_table
from broker.store.tables import part_answers, usage_hourly
from broker.testing.builders import a_claim, a_failure, a_report, a_usage, an_answer
from broker.testing.contracts.store import Ledger, opened

AGAIN = Again(in_s=30.0, why="overloaded")


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    with opened(database_url) as ledger:
        yield ledger


def part(key: JobKey, attempt: int, number: int, *, tokens: int = 10, cost: str | None = "0.1") -> Report:
    """A good answer that is one of several."""
    report = a_report(key, attempt, then=Part(number=number, body=b"part %d of attempt %d" % (number, attempt)))
    return replace(report, usage=a_usage(tokens), cost=None if cost is None else Decimal(cost))


def whole(key: JobKey, attempt: int, parts: int, *, cost: str | None = "0.1") -> Report:
    """The last one, with the answer that they make together."""
    report = a_report(key, attempt, then=replace(an_answer(key), parts=parts))
    return replace(report, cost=None if cost is None else Decimal(cost))


def claimed(ledger: Ledger, key: JobKey, *, from_due: bool = True) -> Claimed:
    (answer,) = ledger.claim(a_claim(key, from_due=from_due))
    return answer


def next_call(ledger: Ledger, key: JobKey) -> Claimed:
    """Feed the job from its due row, and claim it."""
    assert ledger.write(due.take_due, [key.batch_id], 10) == [key]
    return claimed(ledger, key)


@pytest.fixture
def key(ledger: Ledger) -> JobKey:
    """A job whose first call runs."""
    key = JobKey(ledger.batch(1), 0)
    assert claimed(ledger, key, from_due=False) == Claimed(verdict=Verdict.GRANTED, number=1)
    return key


def states(ledger: Ledger, key: JobKey) -> list[str]:
    return [state for _, state in sorted(ledger.attempt_states(key.batch_id).items())]


def test_each_answer_is_kept_until_the_last_one_makes_the_result(ledger: Ledger, key: JobKey) -> None:
    ledger.record(part(key, 1, 0, tokens=1, cost="0.5"))
    assert [(row["why"], row["fed_at"]) for row in ledger.rows(due_table)] == [("next_part", None)]
    assert ledger.results(key.batch_id) == []
    second = next_call(ledger, key)
    assert (second.number, second.parts, second.history) == (2, (b"part 0 of attempt 1",), {})
    ledger.record(part(key, 2, 1, tokens=20, cost="0.25"))
    third = next_call(ledger, key)
    assert (third.number, third.parts) == (3, (b"part 0 of attempt 1", b"part 1 of attempt 2"))
    ledger.record(whole(key, 3, 2))
    (result,) = ledger.results(key.batch_id)
    assert (result.state, result.attempts, result.body) == (ResultState.SUCCEEDED, 3, b'{"answer":1}')
    assert (ledger.rows(part_answers), ledger.due_keys()) == ([], [])
    assert states(ledger, key) == ["ok"] * 3
    assert ledger.get(key.batch_id).state is BatchState.COMPLETED
    ledger.audit()


def test_a_result_of_several_calls_has_used_what_they_used_together(ledger: Ledger, key: JobKey) -> None:
    ledger.record(part(key, 1, 0, tokens=1, cost="0.5"))
    next_call(ledger, key)
    ledger.record(a_report(key, 2, AttemptState.FAILED, Again(in_s=0, why="malformed"), cost=Decimal(7)))
    next_call(ledger, key)
    ledger.record(part(key, 3, 1, tokens=20, cost="0.0000000001"))
    next_call(ledger, key)
    ledger.record(whole(key, 4, 2))
    (result,) = ledger.results(key.batch_id)
    assert result.cost == Decimal("0.6000000001")
    assert result.usage == Usage(
        input_tokens=31,
        cache_read_tokens=6,
        cache_write_tokens=3,
        output_tokens=15,
        reasoning_tokens=9,
        source=UsageSource.REPORTED,
    )
    batch = ledger.get(key.batch_id)
    assert (batch.cost, batch.usage.input_tokens) == (Decimal("7.6000000001"), 31)
    assert [row["attempts"] for row in ledger.rows(usage_hourly)] == [4]
    ledger.audit()


def test_what_is_unknown_of_one_call_is_unknown_of_the_result(ledger: Ledger, key: JobKey) -> None:
    estimated = Usage(input_tokens=7, output_tokens=1, source=UsageSource.ESTIMATED)
    ledger.record(replace(part(key, 1, 0, cost=None), usage=estimated))
    next_call(ledger, key)
    ledger.record(whole(key, 2, 1))
    (result,) = ledger.results(key.batch_id)
    assert result.cost is None
    assert result.usage == Usage(input_tokens=17, output_tokens=6, source=UsageSource.ESTIMATED)
    assert ledger.get(key.batch_id).unpriced == 1
    ledger.audit()


def test_an_answer_that_did_without_the_parts_has_used_what_its_own_call_used(ledger: Ledger, key: JobKey) -> None:
    """Another account may give all of them in one call."""
    ledger.record(part(key, 1, 0, cost="0.5"))
    next_call(ledger, key)
    ledger.record(whole(key, 2, 0, cost="0.25"))
    (result,) = ledger.results(key.batch_id)
    assert (result.cost, result.usage) == (Decimal("0.25"), a_usage())
    assert ledger.rows(part_answers) == []
    assert ledger.get(key.batch_id).cost == Decimal("0.75")
    ledger.audit()


def test_a_process_that_dies_between_two_calls_loses_no_answer(ledger: Ledger, key: JobKey) -> None:
    ledger.record(part(key, 1, 0))
    ledger.write(workers.register, "dead", "team-a")
    ledger.claim(a_claim(key, from_due=True), worker="dead")
    assert ledger.write(workers.reap, ["dead"]) == 1
    assert states(ledger, key) == ["ok", "unknown"]
    again = next_call(ledger, key)
    assert (again.number, again.parts, again.history) == (3, (b"part 0 of attempt 1",), {ErrorClass.LOST: 1})
    ledger.audit()


def test_a_failed_call_costs_one_try_and_no_part(ledger: Ledger, key: JobKey) -> None:
    ledger.record(part(key, 1, 0))
    next_call(ledger, key)
    ledger.record(a_report(key, 2, AttemptState.FAILED, Again(in_s=0, why="server_error")))
    again = next_call(ledger, key)
    assert (again.number, again.parts, again.history) == (3, (b"part 0 of attempt 1",), {ErrorClass.SERVER_ERROR: 1})


def test_a_job_that_fails_for_good_lets_its_parts_go_and_keeps_what_they_cost(ledger: Ledger, key: JobKey) -> None:
    ledger.record(part(key, 1, 0, cost="0.5"))
    next_call(ledger, key)
    ledger.record(a_report(key, 2, AttemptState.REFUSED, replace(a_failure(key), parts=1)))
    (result,) = ledger.results(key.batch_id)
    assert (result.state, ledger.rows(part_answers)) == (ResultState.FAILED, [])
    assert (result.cost, result.usage.source) == (None, UsageSource.MISSING)  # of the refused call it is not known
    assert ledger.get(key.batch_id).cost == Decimal("0.5")
    ledger.audit()


def test_reports_sent_again_change_nothing(ledger: Ledger, key: JobKey) -> None:
    first = part(key, 1, 0)
    ledger.record(first)
    assert ledger.record(first, first) == Plan()
    next_call(ledger, key)
    assert ledger.record(first) == Plan()
    second = whole(key, 2, 1)
    ledger.record(first, second)
    assert ledger.record(second, first) == Plan()
    assert len(ledger.results(key.batch_id)) == 1
    ledger.audit()


def test_a_late_part_takes_its_place_and_hands_nothing_on(ledger: Ledger) -> None:
    key = JobKey(ledger.batch(1), 0)
    ledger.dies(key, worker="dead")
    (before,) = ledger.rows(due_table)
    ledger.record(part(key, 1, 0))
    assert ledger.rows(due_table) == [before]
    assert states(ledger, key) == ["ok"]
    assert next_call(ledger, key).parts == (b"part 0 of attempt 1",)
    ledger.audit()


@pytest.mark.parametrize("together", [True, False])
def test_a_part_for_a_place_that_is_taken_is_discarded_and_the_job_goes_on(ledger: Ledger, together: bool) -> None:
    """The late answer of a lost call took the place, while its successor was asking for the same."""
    key = JobKey(ledger.batch(1), 0)
    ledger.dies(key, worker="dead")
    next_call(ledger, key)
    late, own = part(key, 1, 0, cost="0.5"), part(key, 2, 0, cost="0.25")
    for flush in [(late, own)] if together else [(late,), (own,)]:
        ledger.record(*flush)
    assert states(ledger, key) == ["ok", "discarded"]
    assert [row["body"] for row in ledger.rows(part_answers)] == [b"part 0 of attempt 1"]
    assert ledger.get(key.batch_id).cost == Decimal("0.75")
    again = next_call(ledger, key)
    assert (again.number, again.parts) == (3, (b"part 0 of attempt 1",))
    ledger.record(whole(key, 3, 1, cost="0.125"))
    assert [result.cost for result in ledger.results(key.batch_id)] == [Decimal("0.625")]
    ledger.audit()


def test_a_late_part_that_finds_its_place_taken_hands_nothing_on(ledger: Ledger) -> None:
    key = JobKey(ledger.batch(1), 0)
    ledger.dies(key, worker="dead")
    next_call(ledger, key)
    ledger.record(part(key, 2, 0))
    next_call(ledger, key)
    ledger.record(part(key, 1, 0))
    assert (states(ledger, key), ledger.due_keys()) == (["discarded", "ok", "open"], [])
    ledger.record(whole(key, 3, 1))
    ledger.audit()


def test_the_late_last_answer_of_a_lost_call_finishes_the_job(ledger: Ledger, key: JobKey) -> None:
    ledger.record(part(key, 1, 0, cost="0.5"))
    ledger.write(due.take_due, [key.batch_id], 10)
    ledger.dies(key, worker="dead")
    assert next_call(ledger, key).number == 3
    ledger.record(whole(key, 2, 1, cost="0.25"))
    ledger.record(whole(key, 3, 1, cost="0.125"))
    assert [(result.attempts, result.cost) for result in ledger.results(key.batch_id)] == [(2, Decimal("0.75"))]
    assert states(ledger, key) == ["ok", "ok", "discarded"]
    assert ledger.get(key.batch_id).cost == Decimal("0.875")
    ledger.audit()


def test_a_part_of_a_finished_job_is_discarded(ledger: Ledger) -> None:
    key = JobKey(ledger.batch(1), 0)
    ledger.dies(key, worker="dead")
    next_call(ledger, key)
    ledger.record(a_report(key, 2, AttemptState.FAILED, a_failure(key)))
    ledger.record(part(key, 1, 0, cost="0.5"))
    assert (states(ledger, key), ledger.rows(part_answers)) == (["discarded", "failed"], [])
    assert ledger.get(key.batch_id).cost == Decimal("0.5")
    ledger.audit()


def test_a_part_beside_the_end_of_its_job_is_discarded(ledger: Ledger) -> None:
    key = JobKey(ledger.batch(1), 0)
    ledger.dies(key, worker="dead")
    next_call(ledger, key)
    ledger.record(part(key, 1, 0), a_report(key, 2, AttemptState.FAILED, a_failure(key)))
    assert (states(ledger, key), ledger.rows(part_answers)) == (["discarded", "failed"], [])
    ledger.audit()


def test_a_job_that_takes_its_process_down_ends_with_its_parts(ledger: Ledger, key: JobKey) -> None:
    ledger.record(part(key, 1, 0))
    for death in range(workers.DEATHS_ALLOWED):
        ledger.dies(key, worker=f"dead-{death}")
    assert [result.error_code for result in ledger.results(key.batch_id)] == [ErrorClass.WORKER_CRASH]
    assert ledger.rows(part_answers) == []
    ledger.audit()


def test_a_batch_that_is_cancelled_in_between_keeps_the_cost_and_drops_the_parts(ledger: Ledger, key: JobKey) -> None:
    ledger.record(part(key, 1, 0, cost="0.5"))
    ledger.write(batches.move, key.batch_id, BatchState.CANCELLING)
    assert claimed(ledger, key).verdict is Verdict.CLOSED
    assert ledger.write(sweep, key.batch_id, 0) == 1
    assert [result.state for result in ledger.results(key.batch_id)] == [ResultState.CANCELLED]
    assert (ledger.rows(part_answers), ledger.due_keys()) == ([], [])
    batch = ledger.get(key.batch_id)
    assert (batch.state, batch.cost, batch.usage.input_tokens) == (BatchState.CANCELLED, Decimal("0.5"), 10)
    ledger.audit()


def test_a_part_that_comes_while_its_batch_is_cancelled_goes_with_the_sweep(ledger: Ledger, key: JobKey) -> None:
    ledger.write(batches.move, key.batch_id, BatchState.CANCELLING)
    assert ledger.write(sweep, key.batch_id, 0) == 0
    ledger.record(part(key, 1, 0, cost="0.5"))
    assert ledger.get(key.batch_id).state is BatchState.CANCELLING
    assert ledger.write(sweep, key.batch_id, 0) == 1
    assert (ledger.rows(part_answers), ledger.due_keys()) == ([], [])
    assert ledger.get(key.batch_id).cost == Decimal("0.5")
    ledger.audit()


def test_a_paused_batch_keeps_the_parts_for_when_it_goes_on(ledger: Ledger, key: JobKey) -> None:
    ledger.write(batches.move, key.batch_id, BatchState.PAUSED)
    ledger.record(part(key, 1, 0))
    assert claimed(ledger, key).verdict is Verdict.PAUSED
    ledger.write(batches.move, key.batch_id, BatchState.RUNNING)
    assert next_call(ledger, key).parts == (b"part 0 of attempt 1",)


def test_a_claim_that_is_sent_again_tells_the_same_parts(ledger: Ledger, key: JobKey) -> None:
    ledger.record(part(key, 1, 0))
    again = a_claim(key, "mine", from_due=True)
    assert (
        ledger.claim(again)
        == ledger.claim(again)
        == [Claimed(verdict=Verdict.GRANTED, number=2, parts=(b"part 0 of attempt 1",))]
    )


def test_each_job_of_a_claim_gets_its_own_parts_in_their_order(ledger: Ledger) -> None:
    batch_id = ledger.batch(4)
    keys = [JobKey(batch_id, position) for position in range(4)]
    ledger.claim_all(batch_id, 4)
    for attempt in range(1, 13):
        ledger.record(*(part(key, attempt, attempt - 1) for key in keys[1:3]))
        ledger.claim(*(a_claim(key, from_due=True) for key in keys[1:3]))
    ledger.write(workers.reap, [ledger.worker])
    answers = ledger.claim(*(a_claim(key, from_due=True) for key in keys))
    kept = tuple(b"part %d of attempt %d" % (number, number + 1) for number in range(12))
    assert [answer.parts for answer in answers] == [(), kept, kept, ()]


def test_only_the_parts_of_jobs_that_ended_go(ledger: Ledger) -> None:
    batch_id = ledger.batch(2)
    first, second = JobKey(batch_id, 0), JobKey(batch_id, 1)
    ledger.claim_all(batch_id, 2)
    ledger.record(part(first, 1, 0), part(second, 1, 0))
    ledger.claim(a_claim(first, from_due=True))
    ledger.record(whole(first, 2, 1))
    assert [row["position"] for row in ledger.rows(part_answers)] == [1]
    ledger.audit()


def test_warnings_come_back_with_the_result(ledger: Ledger, key: JobKey) -> None:
    warnings = (
        Loss(code="clamped", path="/temperature", detail="at most 1 — \x00", loss_class=LossClass.SAMPLING),
        Loss(code="unknown_field", path="/\ud83d~1", detail="", loss_class=LossClass.HINT),
    )
    report = a_report(key)
    assert isinstance(report.then, Conclusion)
    ledger.record(replace(report, then=replace(report.then, warnings=warnings)))
    (result,) = ledger.results(key.batch_id)
    assert result.warnings == (warnings[0], replace(warnings[1], path="/?~1"))


def test_a_result_without_losses_has_no_warnings(ledger: Ledger, key: JobKey) -> None:
    ledger.record(a_report(key))
    (result,) = ledger.results(key.batch_id)
    assert result.warnings == ()


def test_each_part_has_tries_of_its_own(ledger: Ledger, key: JobKey) -> None:
    """Or a job of many calls would end by the few that go wrong among them, and with it all that is paid."""
    for number in (1, 2):
        ledger.record(failed_by(ErrorClass.OVERLOADED, key, number))
        tried = next_call(ledger, key)
    assert tried.history == {ErrorClass.OVERLOADED: 2}
    ledger.record(part(key, 3, 0))
    assert next_call(ledger, key).history == {}
    ledger.record(failed_by(ErrorClass.TIMEOUT, key, 4))
    assert next_call(ledger, key).history == {ErrorClass.TIMEOUT: 1}


def failed_by(error_class: ErrorClass, key: JobKey, attempt: int) -> Report:
    """A call that did not work, and is made again at once."""
    error = CallError(error_class=error_class, scope=Scope.SAME, message="no")
    return replace(a_report(key, attempt, AttemptState.FAILED, Again(in_s=0.0, why=error_class)), error=error)
