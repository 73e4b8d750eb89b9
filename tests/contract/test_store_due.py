"""Due rows, sweeps, cursors over results and moves of batches, on both databases."""

from collections.abc import Iterator

import pytest

from broker.domain.attempt import AttemptState
from broker.domain.batch import BatchState
from broker.domain.job import JobKey
from broker.domain.report import Again
from broker.domain.result import ResultState
from broker.errors import IllegalMove
from broker.store import batches, due, results
from broker.store.batches import NoSuchBatch
from broker.store.finish import Finish, finish, sweep
from broker.store.record import put_due
from broker.store.standing import standing
from broker.store.tables import due as due_table
from broker.testing.builders import a_batch, a_claim, a_report
from broker.testing.contracts.store import Ledger, opened


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    with opened(database_url) as ledger:
        yield ledger


def handed_back(ledger: Ledger, batch_id: int, *positions: int) -> None:
    for position in positions:
        ledger.write(due.make_due, [JobKey(batch_id, position)], "handed_back")


def due_in_turn(ledger: Ledger, batch_id: int, *positions: int) -> None:
    """Long ago, and each a second later than the one before: a clock may stand still between two transactions."""
    rows = [
        {"batch_id": batch_id, "position": position, "at": float(at), "why": "handed_back"}
        for at, position in enumerate(positions, start=1)
    ]
    ledger.write(put_due, rows)


def an_end(position: int, state: ResultState = ResultState.FAILED) -> Finish:
    return Finish(position=position, custom_id=f"row-{position}", state=state, error_code="bad_row", error_message="no")


def test_due_jobs_are_taken_earliest_first_and_once(ledger: Ledger) -> None:
    batch_id = ledger.batch(5)
    due_in_turn(ledger, batch_id, 3, 1, 4, 0)
    assert sorted(ledger.write(due.take_due, [batch_id], 2)) == [(batch_id, 1), (batch_id, 3)]
    assert sorted(ledger.write(due.take_due, [batch_id], 9)) == [(batch_id, 0), (batch_id, 4)]
    assert ledger.write(due.take_due, [batch_id], 9) == []
    assert all(row["fed_at"] is not None for row in ledger.rows(due_table))


def test_no_more_due_jobs_are_taken_than_asked_for_however_many_there_are(ledger: Ledger) -> None:
    batch_id = ledger.batch(300)
    ledger.write(due.make_due, [JobKey(batch_id, position) for position in range(300)], "reconciled")
    assert [len(ledger.write(due.take_due, [batch_id], most)) for most in (1, 7, 250, 100)] == [1, 7, 250, 42]


def test_due_jobs_are_taken_of_the_named_batches_only(ledger: Ledger) -> None:
    first, second = ledger.batch(), ledger.batch()
    handed_back(ledger, first, 0)
    handed_back(ledger, second, 0)
    assert ledger.write(due.take_due, [second], 10) == [(second, 0)]


def test_what_was_taken_and_never_claimed_comes_back_when_its_queue_is_lost(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    handed_back(ledger, batch_id, 0, 1)
    ledger.write(due.take_due, [batch_id], 1)
    ledger.write(due.untake)
    assert sorted(ledger.write(due.take_due, [batch_id], 10)) == [(batch_id, 0), (batch_id, 1)]


def test_a_taken_row_is_due_again_after_a_minute(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    handed_back(ledger, batch_id, 0)
    ledger.write(due.take_due, [batch_id], 1)
    seconds = ledger.read(standing, batch_id, 0).next_try_in_s
    assert seconds is not None
    assert 50 < seconds <= due.TAKEN_FOR_S


def test_a_job_that_was_taken_and_is_handed_back_is_due_at_once(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    handed_back(ledger, batch_id, 0)
    ledger.write(due.take_due, [batch_id], 1)
    handed_back(ledger, batch_id, 0)
    assert ledger.write(due.take_due, [batch_id], 1) == [(batch_id, 0)]


def test_a_job_that_waits_for_its_time_keeps_it_when_it_is_handed_back(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    ledger.claim_all(batch_id, 1)
    ledger.record(a_report((batch_id, 0), 1, AttemptState.REFUSED, Again(in_s=500, why="daily_quota")))
    handed_back(ledger, batch_id, 0)
    assert [row["why"] for row in ledger.rows(due_table)] == ["daily_quota"]


def test_stranded_jobs_are_those_that_nobody_owns(ledger: Ledger) -> None:
    batch_id = ledger.batch(5)
    ledger.claim_all(batch_id, 3)
    ledger.record(a_report((batch_id, 0)), a_report((batch_id, 1), 1, AttemptState.REFUSED, Again(in_s=9, why="busy")))
    keys = [JobKey(batch_id, position) for position in range(5)]
    assert sorted(ledger.read(due.stranded, keys)) == keys[3:]
    assert ledger.read(due.stranded, []) == []


def test_ends_without_a_call_are_results_in_order(ledger: Ledger) -> None:
    batch_id = ledger.batch(4)
    ledger.claim_all(batch_id, 2)
    ledger.record(a_report((batch_id, 0)))
    handed_back(ledger, batch_id, 3)
    assert ledger.write(finish, batch_id, [an_end(position) for position in (3, 0, 1, 2)]) == 2
    assert [(r.position, r.seq, r.attempts) for r in ledger.results(batch_id)] == [(0, 1, 1), (3, 2, 0), (2, 3, 0)]
    assert ledger.due_keys() == []
    assert ledger.write(finish, batch_id, [an_end(3)]) == 0
    assert ledger.get(batch_id).counts.failed == 2
    ledger.audit()


def test_a_sweep_cancels_all_but_the_calls_in_flight_and_the_last_of_these_ends_the_batch(ledger: Ledger) -> None:
    batch_id = ledger.write(a_batch, 6, per_segment=3)
    ledger.claim(a_claim((batch_id, 1)), a_claim((batch_id, 4)))
    ledger.record(a_report((batch_id, 4), 1, AttemptState.REFUSED, Again(in_s=0, why="busy")))
    ledger.write(batches.move, batch_id, BatchState.CANCELLING)
    assert [ledger.write(sweep, batch_id, segment) for segment in (0, 1, 1, 0)] == [2, 3, 0, 0]
    assert ledger.get(batch_id).state is BatchState.CANCELLING
    assert ledger.due_keys() == []
    ledger.record(a_report((batch_id, 1)))
    batch = ledger.get(batch_id)
    assert (batch.state, batch.counts.cancelled, batch.counts.succeeded) == (BatchState.CANCELLED, 5, 1)
    assert {r.error_code for r in ledger.results(batch_id) if r.state is ResultState.CANCELLED} == {"batch_cancelled"}
    assert all(r.custom_id == f"row-{r.position}" for r in ledger.results(batch_id))
    ledger.audit()


def test_a_sweep_ends_a_batch_without_calls(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    ledger.write(batches.move, batch_id, BatchState.CANCELLING)
    assert ledger.write(sweep, batch_id, 0) == 3
    assert ledger.get(batch_id).state is BatchState.CANCELLED


@pytest.mark.parametrize("state", [BatchState.RUNNING, BatchState.PAUSED])
def test_a_batch_that_is_not_cancelled_is_not_swept(ledger: Ledger, state: BatchState) -> None:
    batch_id = ledger.batch()
    ledger.write(batches.move, batch_id, state)
    assert ledger.write(sweep, batch_id, 0) == 0
    assert ledger.results(batch_id) == []


def test_a_retry_of_a_batch_that_was_cancelled_meanwhile_is_swept(ledger: Ledger) -> None:
    batch_id = ledger.batch(1)
    ledger.claim_all(batch_id, 1)
    ledger.write(batches.move, batch_id, BatchState.CANCELLING)
    assert ledger.write(sweep, batch_id, 0) == 0
    ledger.record(a_report((batch_id, 0), 1, AttemptState.REFUSED, Again(in_s=0, why="busy")))
    assert ledger.write(sweep, batch_id, 0) == 1
    assert (ledger.due_keys(), ledger.get(batch_id).state) == ([], BatchState.CANCELLED)


def test_a_finished_job_is_not_handed_back(ledger: Ledger) -> None:
    """A turn that came twice may be handed back by one worker when another one has finished its job."""
    batch_id = ledger.batch(2)
    ledger.claim_all(batch_id, 1)
    ledger.record(a_report((batch_id, 0)))
    handed_back(ledger, batch_id, 0, 1)
    assert ledger.due_keys() == [(batch_id, 1)]


def test_no_due_row_outlives_its_batch(ledger: Ledger) -> None:
    """One may be written while another transaction finishes its job: it goes with the last result at the latest."""
    batch_id, other = ledger.batch(2), ledger.batch()
    ledger.claim_all(batch_id, 2)
    ledger.record(a_report((batch_id, 0)))
    rows = [{"batch_id": of, "position": 0, "at": 0.0, "why": "handed_back"} for of in (batch_id, other)]
    ledger.write(put_due, rows)
    ledger.record(a_report((batch_id, 1)))
    assert ledger.get(batch_id).state is BatchState.COMPLETED
    assert ledger.due_keys() == [(other, 0)]


def test_results_are_read_behind_a_cursor_in_pages(ledger: Ledger) -> None:
    batch_id = ledger.batch(5)
    ledger.claim_all(batch_id, 5)
    for position in (3, 0, 4, 2):
        ledger.record(a_report((batch_id, position)))
    pages = [ledger.read(results.after, batch_id, seq, 3) for seq in (0, 3, 4)]
    assert [[r.position for r in page] for page in pages] == [[3, 0, 4], [2], []]


def test_results_in_input_order_are_the_contiguous_prefix(ledger: Ledger) -> None:
    batch_id = ledger.batch(6)
    ledger.claim_all(batch_id, 6)
    ledger.record(*(a_report((batch_id, position)) for position in (4, 0, 1, 3)))
    pages = [ledger.read(results.lines_from, batch_id, start, 10) for start in (0, 1, 2, 3, 5)]
    assert [[r.position for r in page] for page in pages] == [[0, 1], [1], [], [3, 4], []]
    assert [r.position for r in ledger.read(results.lines_from, batch_id, 0, 1)] == [0]


def test_a_batch_moves_by_its_table_only(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    for to in (BatchState.PAUSED, BatchState.PAUSED, BatchState.RUNNING, BatchState.CANCELLING):
        assert ledger.write(batches.move, batch_id, to) is to
        assert ledger.get(batch_id).state is to
    with pytest.raises(IllegalMove):
        ledger.write(batches.move, batch_id, BatchState.RUNNING)
    assert ledger.get(batch_id).state is BatchState.CANCELLING


def test_a_batch_that_is_not_there_is_named(ledger: Ledger) -> None:
    with pytest.raises(NoSuchBatch, match="no batch 7"):
        ledger.write(batches.move, 7, BatchState.PAUSED)


def test_batches_are_listed_newest_first_and_by_state(ledger: Ledger) -> None:
    ids = [ledger.batch() for _ in range(3)]
    ledger.write(batches.move, ids[1], BatchState.PAUSED)
    assert [batch.id for batch in ledger.read(batches.newest, 2)] == [ids[2], ids[1]]
    found = ledger.read(batches.in_state, BatchState.RUNNING, BatchState.CANCELLING)
    assert [batch.id for batch in found] == [ids[0], ids[2]]
