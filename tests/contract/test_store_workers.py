"""Workers and what dead ones leave, on both databases."""

from collections.abc import Iterator

import pytest

from broker.domain.attempt import AttemptState
from broker.domain.batch import BatchState
from broker.domain.job import JobKey
from broker.domain.report import Again
from broker.domain.result import ResultState
from broker.store import batches, due, workers
from broker.store.claim import Verdict
from broker.store.tables import attempts, usage_hourly
from broker.store.tables import due as due_table
from broker.store.tables import workers as workers_table
from broker.store.workers import DEATHS_ALLOWED, Signs, WorkerBeat
from broker.testing.builders import ACCOUNT, MODEL, a_claim, a_report
from broker.testing.contracts.store import Ledger, opened


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    with opened(database_url) as ledger:
        yield ledger


def test_a_worker_shows_life_by_counting(ledger: Ledger) -> None:
    ledger.write(workers.register, "worker-2", ACCOUNT)
    for in_flight in (3, 5):
        ledger.write(workers.beat, "worker-2", Signs(in_flight=in_flight))
    beats = sorted(ledger.read(workers.beats), key=lambda beat: beat.worker_id)
    assert beats == [WorkerBeat(worker_id="worker-1", beats=0), WorkerBeat(worker_id="worker-2", beats=2)]
    assert [row["in_flight"] for row in ledger.rows(workers_table)] == [0, 5]


def test_a_worker_that_said_goodbye_is_not_watched(ledger: Ledger) -> None:
    ledger.write(workers.stop, ledger.worker)
    assert ledger.read(workers.beats) == []


def test_open_attempts_are_those_without_a_report(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    ledger.claim(a_claim((batch_id, 0), "a"), a_claim((batch_id, 1), "b"))
    ledger.record(a_report((batch_id, 0)))
    assert ledger.read(workers.open_attempts, ledger.worker) == {"b": (JobKey(batch_id, 1), 1, MODEL)}
    assert ledger.read(workers.open_attempts, "worker-2") == {}


def test_the_calls_of_a_dead_worker_become_unknown_and_their_jobs_due(ledger: Ledger) -> None:
    first, second = ledger.batch(), ledger.batch()
    ledger.claim_all(second, 1)
    ledger.write(workers.register, "dead", ACCOUNT)
    ledger.claim(*(a_claim((b, 2)) for b in (second, first)), worker="dead")
    assert ledger.write(workers.reap, ["dead"]) == 2
    assert ledger.write(workers.reap, ["dead"]) == 0
    assert ledger.due_keys() == [(first, 2), (second, 2)]
    assert sorted(ledger.write(due.take_due, [first, second], 10)) == [(first, 2), (second, 2)]
    assert ledger.attempt_states(second) == {(0, 1): "open", (2, 1): "unknown"}
    assert [row["error_class"] for row in ledger.rows(attempts) if row["state"] == "unknown"] == ["lost", "lost"]
    assert ledger.rows(usage_hourly) == []
    ledger.audit()


def test_a_job_with_a_result_is_not_handed_back_by_the_death_of_its_second_call(ledger: Ledger) -> None:
    batch_id = ledger.batch(2)
    key = JobKey(batch_id, 0)
    ledger.dies(key, worker="dead-1")
    ledger.write(workers.register, "dead-2", ACCOUNT)
    ledger.claim(a_claim(key, from_due=True), worker="dead-2")
    ledger.record(a_report(key, 1))
    assert ledger.write(workers.reap, ["dead-2"]) == 1
    assert ledger.due_keys() == []
    assert ledger.attempt_states(batch_id) == {(0, 1): "ok", (0, 2): "unknown"}


def test_reaping_goes_on_in_chunks_until_nothing_is_left(ledger: Ledger) -> None:
    batch_id = ledger.batch(700)
    ledger.write(workers.register, "dead", ACCOUNT)
    ledger.claim(*(a_claim((batch_id, position)) for position in range(700)), worker="dead")
    assert [ledger.write(workers.reap, ["dead"]) for _ in range(3)] == [500, 200, 0]
    assert len(ledger.due_keys()) == 700


def test_several_dead_workers_are_reaped_together(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    for position, name in enumerate(("dead-1", "dead-2")):
        ledger.write(workers.register, name, ACCOUNT)
        ledger.claim(a_claim((batch_id, position)), worker=name)
    assert ledger.write(workers.reap, ["dead-1", "dead-2", "nobody"]) == 2
    assert ledger.write(workers.reap, []) == 0


def test_a_forgotten_worker_is_granted_nothing_more(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    ledger.write(workers.forget, [ledger.worker])
    assert ledger.read(workers.beats) == []
    assert [answer.verdict for answer in ledger.claim(a_claim((batch_id, 0)))] == [Verdict.STALE]


def test_a_job_that_loses_five_processes_ends_as_worker_crash(ledger: Ledger) -> None:
    batch_id = ledger.batch(2)
    key = JobKey(batch_id, 1)
    for death in range(DEATHS_ALLOWED - 1):
        ledger.dies(key, worker=f"dead-{death}")
        assert ledger.due_keys() == [key]
        assert ledger.results(batch_id) == []
    ledger.dies(key, worker="the last one")
    (result,) = ledger.results(batch_id)
    assert (result.state, result.error_code, result.custom_id) == (ResultState.FAILED, "worker_crash", "row-1")
    assert (result.attempts, ledger.due_keys()) == (5, [])
    assert "5 times" in (result.error_message or "")
    ledger.audit()


def test_other_endings_between_deaths_do_not_end_a_job(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    key = JobKey(batch_id, 0)
    for death in range(DEATHS_ALLOWED - 1):
        ledger.dies(key, worker=f"dead-{death}")
        (answer,) = ledger.claim(a_claim(key, alone=True))
        ledger.record(a_report(key, answer.number, AttemptState.REFUSED, Again(in_s=0, why="busy")))
    assert ledger.results(batch_id) == []


def test_the_death_of_the_last_call_of_a_cancelled_batch_leaves_its_job_to_the_sweep(ledger: Ledger) -> None:
    batch_id = ledger.batch(1)
    ledger.write(workers.register, "dead", ACCOUNT)
    ledger.claim(a_claim((batch_id, 0)), worker="dead")
    ledger.write(batches.move, batch_id, BatchState.CANCELLING)
    ledger.write(workers.reap, ["dead"])
    assert ledger.results(batch_id) == []
    assert [row["position"] for row in ledger.rows(due_table)] == [0]
