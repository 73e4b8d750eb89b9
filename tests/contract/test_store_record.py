"""Records on both databases: what becomes durable with a set of reports."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from broker.domain.attempt import AttemptState
from broker.domain.batch import BatchState
from broker.domain.job import JobKey
from broker.domain.report import Again, Conclusion
from broker.domain.result import ResultState
from broker.domain.usage import Usage, UsageSource
from broker.store import batches, due
from broker.store.plan import Plan
from broker.store.standing import standing
from broker.store.tables import attempts, usage_hourly
from broker.store.tables import due as due_table
from broker.testing.builders import ACCOUNT, FINISHED_AT, MODEL, PROVIDER, a_claim, a_failure, a_report
from broker.testing.contracts.store import Ledger, opened

AGAIN = Again(in_s=30.0, why="overloaded")


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    with opened(database_url) as ledger:
        yield ledger


def test_an_answer_comes_back_as_it_was_recorded(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    ledger.claim_all(batch_id, 2)
    body = bytes(range(256)) * 5
    usage = Usage(input_tokens=7, output_tokens=0, source=UsageSource.ESTIMATED)
    report = a_report((batch_id, 1), usage=usage, cost=Decimal("123456789.0123456789"))
    assert isinstance(report.then, Conclusion)
    ledger.record(replace(report, then=replace(report.then, body=body, custom_id="näme\u2028'\"")))
    (result,) = ledger.results(batch_id)
    assert (result.position, result.seq, result.state, result.status) == (1, 1, ResultState.SUCCEEDED, 200)
    assert (result.body, result.custom_id) == (body, "näme\u2028'\"")
    assert (result.usage, result.cost) == (usage, Decimal("123456789.0123456789"))
    assert (result.account, result.provider, result.model, result.attempts) == (ACCOUNT, PROVIDER, MODEL, 1)
    assert result.request_id == "req-1-1"


def test_an_attempt_keeps_what_was_reported_of_it(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    ledger.claim_all(batch_id, 1)
    ledger.record(a_report((batch_id, 0), 1, AttemptState.FAILED, AGAIN, message="HTTP 500"))
    (row,) = ledger.rows(attempts)
    assert (row["state"], row["error_class"], row["error"]) == ("failed", "server_error", "HTTP 500")
    assert (row["provider_request_id"], row["sent_at"], row["finished_at"]) == ("req-0-1", FINISHED_AT - 1, FINISHED_AT)
    assert (row["input_tokens"], row["cost"], row["usage_source"]) == (None, None, "missing")


def test_reports_sent_again_change_nothing(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    ledger.claim_all(batch_id, 3)
    reports = [
        a_report((batch_id, 0)),
        a_report((batch_id, 1), 1, AttemptState.REFUSED, AGAIN),
        a_report((batch_id, 2), 1, AttemptState.FAILED, a_failure(JobKey(batch_id, 2))),
    ]
    ledger.record(*reports)
    before = [ledger.rows(table) for table in (attempts, due_table, usage_hourly)]
    batch, results = ledger.get(batch_id), ledger.results(batch_id)
    assert ledger.record(*reports) == Plan()
    assert ledger.record(*reversed(reports)) == Plan()
    assert [ledger.rows(table) for table in (attempts, due_table, usage_hourly)] == before
    assert (ledger.get(batch_id), ledger.results(batch_id)) == (batch, results)


def test_a_report_of_no_known_attempt_changes_nothing(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    assert ledger.record(a_report((batch_id, 0)), a_report((batch_id + 7, 0))) == Plan()
    assert ledger.results(batch_id) == []


def test_results_are_numbered_without_a_gap_in_the_order_of_commits(ledger: Ledger) -> None:
    first, second = ledger.batch(5), ledger.batch(5)
    for batch_id in (first, second):
        ledger.claim_all(batch_id, 5)
    ledger.record(a_report((first, 4)), a_report((second, 0)), a_report((first, 1)))
    ledger.record(a_report((second, 3)), a_report((first, 0)), a_report((first, 4)))
    ledger.record(a_report((first, 2)))
    assert [(r.position, r.seq) for r in ledger.results(first)] == [(4, 1), (1, 2), (0, 3), (2, 4)]
    assert [(r.position, r.seq) for r in ledger.results(second)] == [(0, 1), (3, 2)]


def test_of_two_good_answers_the_first_is_the_result_and_the_other_costs(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    key = JobKey(batch_id, 0)
    ledger.dies(key, worker="dead")
    ledger.claim(a_claim(key))
    ledger.record(a_report(key, 2, cost=Decimal("0.25")))
    ledger.record(a_report(key, 1, cost=Decimal("0.50")))
    assert [(r.attempts, r.cost) for r in ledger.results(batch_id)] == [(2, Decimal("0.25"))]
    assert ledger.attempt_states(batch_id) == {(0, 1): "discarded", (0, 2): "ok"}
    assert ledger.get(batch_id).cost == Decimal("0.75")
    ledger.audit()


def test_a_late_answer_of_an_unknown_attempt_finishes_its_job_and_ends_its_due_row(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    ledger.dies(JobKey(batch_id, 0), worker="dead")
    assert ledger.due_keys() == [(batch_id, 0)]
    ledger.record(a_report((batch_id, 0)))
    assert (ledger.attempt_states(batch_id), ledger.due_keys()) == ({(0, 1): "ok"}, [])
    assert [r.state for r in ledger.results(batch_id)] == [ResultState.SUCCEEDED]
    ledger.audit()


def test_the_attempt_that_follows_a_late_answer_is_discarded(ledger: Ledger) -> None:
    batch_id = ledger.batch(1)
    key = JobKey(batch_id, 0)
    ledger.dies(key, worker="dead")
    ledger.claim(a_claim(key))
    ledger.record(a_report(key, 1))
    assert ledger.get(batch_id).state is BatchState.COMPLETED
    ledger.record(a_report(key, 2))
    assert ledger.attempt_states(batch_id) == {(0, 1): "ok", (0, 2): "discarded"}
    assert ledger.get(batch_id).counts.succeeded == 1
    ledger.audit()


def test_a_retry_is_due_after_its_delay_and_only_then(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    ledger.claim_all(batch_id, 2)
    ledger.record(
        a_report((batch_id, 0), 1, AttemptState.REFUSED, AGAIN),
        a_report((batch_id, 1), 1, AttemptState.REFUSED, Again(in_s=0.0, why="handed_back")),
    )
    assert [(row["position"], row["why"]) for row in ledger.rows(due_table)] == [(0, "overloaded"), (1, "handed_back")]
    assert ledger.write(due.take_due, [batch_id], 10) == [(batch_id, 1)]
    stands = ledger.read(standing, batch_id, 0)
    assert stands.retrying == {"overloaded": 1, "handed_back": 1}
    assert stands.next_try_in_s is not None
    assert 0 < stands.next_try_in_s <= 30


def test_a_retry_rewrites_the_due_row_that_is_there(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    ledger.claim_all(batch_id, 1)
    ledger.write(due.make_due, [JobKey(batch_id, 0)], "reconciled")
    ledger.write(due.take_due, [batch_id], 10)
    ledger.record(a_report((batch_id, 0), 1, AttemptState.REFUSED, AGAIN))
    (row,) = ledger.rows(due_table)
    assert (row["why"], row["fed_at"]) == ("overloaded", None)


def test_a_late_retry_does_not_hand_a_job_back_twice(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    key = JobKey(batch_id, 0)
    ledger.dies(key, worker="dead")
    ledger.claim(a_claim(key, from_due=True))
    ledger.record(a_report(key, 1, AttemptState.FAILED, AGAIN))
    assert ledger.due_keys() == []
    assert ledger.attempt_states(batch_id) == {(0, 1): "failed", (0, 2): "open"}


def test_an_unknown_outcome_counts_when_it_reports(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    ledger.claim_all(batch_id, 1)
    ledger.record(a_report((batch_id, 0), 1, AttemptState.UNKNOWN, AGAIN))
    assert ledger.rows(usage_hourly) == []
    assert ledger.due_keys() == [(batch_id, 0)]
    ledger.audit()
    ledger.record(a_report((batch_id, 0), 1, AttemptState.FAILED, None))
    assert [row["attempts"] for row in ledger.rows(usage_hourly)] == [1]
    ledger.audit()


def test_hours_add_up_by_account_model_and_hour(ledger: Ledger) -> None:
    batch_id = ledger.batch(4)
    ledger.claim_all(batch_id, 4)
    hour = FINISHED_AT
    ledger.record(
        a_report((batch_id, 0), finished_at=hour, cost=Decimal("0.1")),
        a_report((batch_id, 1), finished_at=hour + 3_599, cost=Decimal("0.2")),
    )
    ledger.record(a_report((batch_id, 2), finished_at=hour + 1, cost=Decimal("0.0000000001")))
    ledger.record(a_report((batch_id, 3), finished_at=hour + 3_600, model="other"))
    rows = {(row["model"], row["hour"]): row for row in ledger.rows(usage_hourly)}
    assert rows.keys() == {(MODEL, int(hour)), ("other", int(hour) + 3_600)}
    first = rows[MODEL, int(hour)]
    assert (first["attempts"], first["input_tokens"], first["output_tokens"], first["reasoning_tokens"]) == (
        3,
        30,
        15,
        9,
    )
    assert (first["project"], first["tag"], first["cost"]) == ("default", "nightly", Decimal("0.3000000001"))


def test_the_totals_of_a_batch_are_the_sums_of_its_attempts(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    ledger.claim_all(batch_id, 3)
    ledger.record(
        a_report((batch_id, 0), cost=Decimal("0.1")),
        a_report((batch_id, 1), 1, AttemptState.FAILED, a_failure(JobKey(batch_id, 1)), cost=Decimal("0.02")),
        a_report((batch_id, 2), 1, AttemptState.REFUSED, AGAIN),
    )
    batch = ledger.get(batch_id)
    assert (batch.counts.succeeded, batch.counts.failed, batch.counts.finished) == (1, 1, 2)
    assert (batch.cost, batch.usage.input_tokens, batch.state) == (Decimal("0.12"), 10, BatchState.RUNNING)
    ledger.audit()


def test_the_last_result_completes_its_batch(ledger: Ledger) -> None:
    batch_id = ledger.batch(2)
    ledger.claim_all(batch_id, 2)
    assert ledger.record(a_report((batch_id, 0))).completed == []
    assert ledger.record(a_report((batch_id, 1))).completed == [batch_id]
    batch = ledger.get(batch_id)
    assert batch.state is BatchState.COMPLETED
    assert batch.finished_at is not None


def test_a_late_answer_never_rewrites_how_and_when_a_batch_ended(ledger: Ledger) -> None:
    batch_id = ledger.batch(1)
    key = JobKey(batch_id, 0)
    ledger.dies(key, worker="dead")
    ledger.claim(a_claim(key))
    ledger.write(batches.move, batch_id, BatchState.CANCELLING)
    ledger.record(a_report(key, 2))
    ended = ledger.get(batch_id)
    assert ended.state is BatchState.CANCELLED
    assert ledger.record(a_report(key, 1)).completed == []
    after = ledger.get(batch_id)
    assert (after.state, after.finished_at) == (ended.state, ended.finished_at)
    assert ledger.attempt_states(batch_id) == {(0, 1): "discarded", (0, 2): "ok"}
    ledger.audit()


def test_answers_of_a_paused_batch_are_recorded(ledger: Ledger) -> None:
    batch_id = ledger.batch(1)
    ledger.claim_all(batch_id, 1)
    ledger.write(batches.move, batch_id, BatchState.PAUSED)
    ledger.record(a_report((batch_id, 0)))
    assert ledger.get(batch_id).state is BatchState.COMPLETED


def test_a_thousand_reports_over_many_batches_are_one_transaction(ledger: Ledger) -> None:
    ids = [ledger.batch(250) for _ in range(4)]
    for batch_id in ids:
        ledger.claim_all(batch_id, 250)
    decided = ledger.record(*(a_report((batch_id, position)) for position in range(250) for batch_id in ids))
    assert sorted(decided.completed) == ids
    assert all([r.seq for r in ledger.results(batch_id)] == list(range(1, 251)) for batch_id in ids)
    ledger.audit()


def test_a_zero_character_in_a_message_does_not_hold_up_a_paid_answer(ledger: Ledger) -> None:
    """PostgreSQL has no such character in its texts; a provider may say it all the same."""
    batch_id = ledger.batch()
    ledger.claim_all(batch_id, 2)
    good = a_report((batch_id, 0))
    assert isinstance(good.then, Conclusion)
    ledger.record(
        replace(good, then=replace(good.then, model="mo\x00del"), request_id="re\x00q"),
        a_report((batch_id, 1), 1, AttemptState.FAILED, AGAIN, message="bro\x00ken"),
    )
    assert len(ledger.results(batch_id)) == 1
    ledger.audit()
