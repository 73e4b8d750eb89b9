"""The manifest on both databases."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import select

from broker.domain.attempt import AttemptState
from broker.domain.batch import BatchState
from broker.domain.job import JobKey
from broker.domain.report import Again
from broker.domain.result import ResultState
from broker.errors import IllegalMove
from broker.store import batches, manifest
from broker.store.finish import Finish, finish
from broker.store.manifest import NameTaken, NewBatch, SubmissionConflict
from broker.store.segment import read_segment, unpack_line
from broker.store.tables import batches as batches_table
from broker.store.tables import projects, segments, submissions
from broker.testing.builders import a_batch, a_report, a_segment, a_submission
from broker.testing.contracts.store import Ledger, opened


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    with opened(database_url) as ledger:
        yield ledger


def receiving(ledger: Ledger, *spans: tuple[range, str]) -> int:
    """A batch that is still being read, with a segment for each span and route."""
    batch_id, _ = ledger.write(manifest.open_batch, a_submission())
    if spans:
        ledger.write(manifest.add_segments, batch_id, 0, [a_segment(span, route) for span, route in spans])
    return batch_id


def test_a_submission_sent_again_finds_its_batch(ledger: Ledger) -> None:
    first = ledger.write(manifest.open_batch, a_submission("run:1"))
    assert ledger.write(manifest.open_batch, a_submission("run:1")) == first
    assert first[1] is BatchState.RECEIVING
    assert ledger.read(manifest.submitted, "default", "run:1") == first[0]


def test_a_submission_sent_again_tells_how_its_batch_stands_now(ledger: Ledger) -> None:
    batch_id = ledger.write(a_batch, 1, submission=a_submission("run:1"))
    assert ledger.write(manifest.open_batch, a_submission("run:1")) == (batch_id, BatchState.RUNNING)


def test_a_submission_id_belongs_to_its_project(ledger: Ledger) -> None:
    first, _ = ledger.write(manifest.open_batch, a_submission("run:1"))
    other, _ = ledger.write(manifest.open_batch, a_submission("run:1", project="research", body_hash="sha256:2"))
    assert first != other
    assert [row["name"] for row in ledger.rows(projects)] == ["default", "research"]


def test_another_body_under_the_same_submission_id_is_a_conflict(ledger: Ledger) -> None:
    batch_id, _ = ledger.write(manifest.open_batch, a_submission("run:1"))
    with pytest.raises(SubmissionConflict) as caught:
        ledger.write(manifest.open_batch, a_submission("run:1", body_hash="sha256:2"))
    assert (caught.value.batch_id, caught.value.code) == (batch_id, "id_conflict")
    assert len(ledger.rows(batches_table)) == 1


def test_replacing_passes_the_submission_id_to_a_new_batch_and_keeps_the_old_one(ledger: Ledger) -> None:
    old = ledger.write(a_batch, 1, submission=a_submission("run:1"))
    ledger.claim_all(old, 1)
    ledger.record(a_report((old, 0)))
    new, state = ledger.write(manifest.open_batch, a_submission("run:1", body_hash="sha256:2"), replace=True)
    assert (new != old, state) == (True, BatchState.RECEIVING)
    assert ledger.read(manifest.submitted, "default", "run:1") == old  # until the new one is in
    ledger.write(manifest.seal, new, 1)
    assert ledger.read(manifest.submitted, "default", "run:1") == new
    assert len(ledger.results(old)) == 1


def test_a_replacement_that_is_refused_leaves_everything_as_it_was(ledger: Ledger) -> None:
    old = ledger.write(a_batch, 2, submission=a_submission("run:1"))
    new, _ = ledger.write(manifest.open_batch, a_submission("run:1", body_hash="sha256:2"), replace=True)
    ledger.write(manifest.discard, new)
    assert ledger.write(manifest.open_batch, a_submission("run:1")) == (old, BatchState.RUNNING)


def test_a_replacement_that_was_cut_off_starts_over(ledger: Ledger) -> None:
    old = ledger.write(a_batch, 2, submission=a_submission("run:1"))
    ledger.write(manifest.open_batch, a_submission("run:1", body_hash="sha256:2"), replace=True)
    second, state = ledger.write(manifest.open_batch, a_submission("run:1", body_hash="sha256:3"), replace=True)
    assert state is BatchState.RECEIVING
    ledger.write(manifest.seal, second, 1)
    assert ledger.get(old).state is BatchState.CANCELLING
    assert {row["batch_id"] for row in ledger.rows(batches_table)} == {old, second}


def test_a_replacement_that_was_cancelled_while_it_was_cut_off_starts_over(ledger: Ledger) -> None:
    old = ledger.write(a_batch, 1, submission=a_submission("run:1"))
    first, _ = ledger.write(manifest.open_batch, a_submission("run:1", body_hash="sha256:2"), replace=True)
    ledger.write(batches.move, first, BatchState.CANCELLED)
    second, state = ledger.write(manifest.open_batch, a_submission("run:1", body_hash="sha256:3"), replace=True)
    assert (second not in (old, first), state) == (True, BatchState.RECEIVING)
    ledger.write(manifest.seal, second, 1)
    assert ledger.read(manifest.submitted, "default", "run:1") == second
    assert ledger.get(first).state is BatchState.CANCELLED


def test_a_submission_that_calls_itself_a_replacement_is_none(ledger: Ledger) -> None:
    """The id of a run ends with the name of its output."""
    old = ledger.write(a_batch, 1, submission=a_submission("run:out"))
    new = ledger.write(a_batch, 1, submission=a_submission("run:out (replacement)"))
    assert ledger.get(old).state is BatchState.RUNNING
    found = [ledger.read(manifest.submitted, "default", name) for name in ("run:out", "run:out (replacement)")]
    assert found == [old, new]


def test_an_unknown_submission_has_no_batch(ledger: Ledger) -> None:
    assert ledger.read(manifest.submitted, "default", "run:1") is None


def test_segments_come_back_in_order_with_their_jobs_byte_for_byte(ledger: Ledger) -> None:
    batch_id = receiving(ledger, (range(3), "m"), (range(3, 5), "m"))
    rows = ledger.read(manifest.segment_rows, batch_id)
    assert [(row.number, row.first_position, row.last_position, row.jobs, row.fed) for row in rows] == [
        (0, 0, 2, 3, 0),
        (1, 3, 4, 2, 0),
    ]
    lines = read_segment(ledger.read(manifest.payload, batch_id, 1))
    assert [(job.position, job.custom_id, job.body) for job in map(unpack_line, lines)] == [
        (3, "row-3", b'{"prompt":3}'),
        (4, "row-4", b'{"prompt":4}'),
    ]


def test_a_sealed_batch_runs(ledger: Ledger) -> None:
    batch_id = receiving(ledger, (range(3), "m"))
    assert ledger.write(manifest.seal, batch_id, 3) is BatchState.RUNNING
    batch = ledger.get(batch_id)
    assert (batch.counts.total, batch.finished_at) == (3, None)
    assert batch.accepted_at is not None
    assert batch.accepted_at >= batch.created_at


def test_a_batch_whose_rows_were_all_refused_is_complete_when_sealed(ledger: Ledger) -> None:
    batch_id = receiving(ledger)
    end = Finish(position=0, custom_id=None, state=ResultState.FAILED, error_code="bad_row", error_message="line 1")
    ledger.write(finish, batch_id, [end])
    assert ledger.get(batch_id).state is BatchState.RECEIVING
    assert ledger.write(manifest.seal, batch_id, 1) is BatchState.COMPLETED
    assert ledger.get(batch_id).finished_at is not None


def test_a_batch_is_sealed_once(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    with pytest.raises(IllegalMove):
        ledger.write(manifest.seal, batch_id, 3)


def test_a_discarded_batch_leaves_nothing(ledger: Ledger) -> None:
    kept = ledger.batch()
    batch_id, _ = ledger.write(manifest.open_batch, a_submission("run:1"))
    ledger.write(manifest.add_segments, batch_id, 0, [a_segment(range(3))])
    end = Finish(position=3, custom_id=None, state=ResultState.FAILED, error_code="bad_row", error_message="line 4")
    ledger.write(finish, batch_id, [end])
    ledger.write(manifest.discard, batch_id)
    assert [row["batch_id"] for row in ledger.rows(batches_table)] == [kept]
    assert {row["batch_id"] for row in [*ledger.rows(segments), *ledger.rows(submissions)]} == {kept}
    assert ledger.results(batch_id) == []


def test_a_batch_that_may_run_is_not_discarded(ledger: Ledger) -> None:
    batch_id = ledger.batch()
    with pytest.raises(IllegalMove):
        ledger.write(manifest.discard, batch_id)
    assert len(ledger.read(manifest.segment_rows, batch_id)) == 1


def test_cursors_move_forward_only_and_count_the_jobs_fed(ledger: Ledger) -> None:
    batch_id = receiving(ledger, (range(3), "m"), (range(3, 8), "m"))
    ledger.write(manifest.advance, [(batch_id, 0, 3), (batch_id, 1, 2)])
    ledger.write(manifest.advance, [(batch_id, 0, 1), (batch_id, 1, 2), (batch_id, 1, 4)])
    assert [row.fed for row in ledger.read(manifest.segment_rows, batch_id)] == [3, 4]
    assert ledger.get(batch_id).counts.fed == 7


def test_the_next_segment_to_feed_is_the_first_of_its_route_with_jobs_left(ledger: Ledger) -> None:
    batch_id = receiving(ledger, (range(2), "a"), (range(2, 4), "b"), (range(4, 6), "a"), (range(6, 8), "b"))
    ledger.write(manifest.advance, [(batch_id, 0, 2), (batch_id, 2, 1)])

    def number(route: str, behind: int) -> int | None:
        row = ledger.read(manifest.next_unfed, batch_id, route, behind)
        return row.number if row else None

    assert [number("a", -1), number("a", 2), number("b", -1), number("b", 1), number("c", -1)] == [2, None, 1, 3, None]


def test_only_batches_that_may_run_have_routes_to_feed(ledger: Ledger) -> None:
    mixed = receiving(ledger, (range(2), "b"), (range(2, 5), "a"), (range(5, 6), "b"))
    ledger.write(manifest.seal, mixed, 6)
    paused, fed = ledger.batch(), ledger.batch()
    ledger.write(batches.move, paused, BatchState.PAUSED)
    ledger.write(manifest.advance, [(fed, 0, 3), (mixed, 0, 1)])
    receiving(ledger, (range(2), "b"))
    assert ledger.read(manifest.unfed_routes) == [(mixed, "a", 3), (mixed, "b", 2)]
    assert sorted(ledger.read(manifest.routes, mixed)) == ["a", "b"]


def test_a_position_is_found_in_every_segment_whose_span_holds_it(ledger: Ledger) -> None:
    batch_id, _ = ledger.write(manifest.open_batch, a_submission())
    drafts = [a_segment([0, 2, 4], "even"), a_segment([1, 3, 5], "odd"), a_segment([6, 7], "even")]
    ledger.write(manifest.add_segments, batch_id, 0, drafts)
    found = {p: [row.number for row in ledger.read(manifest.segments_with, batch_id, p)] for p in (0, 3, 5, 6, 8)}
    assert found == {0: [0], 3: [0, 1], 5: [1], 6: [2], 8: []}


def test_names_are_read_from_segments_of_any_batch_and_route(ledger: Ledger) -> None:
    batch_id, _ = ledger.write(manifest.open_batch, a_submission())
    ledger.write(manifest.add_segments, batch_id, 0, [a_segment([0, 2], "even"), a_segment([1, 3], "odd")])
    other = ledger.batch(2)
    keys = [JobKey(batch_id, 3), JobKey(batch_id, 2), JobKey(other, 1), JobKey(other, 9)]
    assert ledger.read(manifest.custom_ids, keys) == {
        (batch_id, 3): "row-3",
        (batch_id, 2): "row-2",
        (other, 1): "row-1",
    }


def test_the_finished_jobs_of_a_segment_are_counted(ledger: Ledger) -> None:
    batch_id = ledger.write(a_batch, 6, per_segment=3)
    ledger.claim_all(batch_id, 5)
    ledger.record(*(a_report((batch_id, position)) for position in (0, 2, 3)))
    ledger.record(a_report((batch_id, 4), 1, AttemptState.REFUSED, Again(in_s=0, why="busy")))
    rows = ledger.read(manifest.segment_rows, batch_id)
    assert [ledger.read(manifest.finished_within, row) for row in rows] == [2, 1]


def test_the_finished_jobs_of_a_shared_span_are_not_told_apart(ledger: Ledger) -> None:
    batch_id, _ = ledger.write(manifest.open_batch, a_submission())
    ledger.write(manifest.add_segments, batch_id, 0, [a_segment([0, 2], "even"), a_segment([1, 3], "odd")])
    ledger.write(manifest.seal, batch_id, 4)
    ledger.claim_all(batch_id, 3)
    ledger.record(*(a_report((batch_id, position)) for position in range(3)))
    assert [ledger.read(manifest.finished_within, row) for row in ledger.read(manifest.segment_rows, batch_id)] == [
        0,
        0,
    ]


def test_a_new_project_is_noted_once(ledger: Ledger) -> None:
    ledger.batch()
    ledger.batch()
    assert ledger.read(lambda connection: connection.execute(select(projects.c.name)).scalars().all()) == ["default"]


def test_a_batch_remembers_its_name_and_what_it_continues(ledger: Ledger) -> None:
    old = ledger.write(a_batch, 1)
    new, _ = ledger.write(manifest.open_batch, a_submission(continues=old))
    assert ledger.read(batches.get, new).continues == old
    named, _ = ledger.write(manifest.open_batch, a_named("evals"))
    assert ledger.read(batches.get, named).name == "evals"
    assert ledger.read(batches.get, old).sealed


def test_a_name_belongs_to_one_batch_of_its_project(ledger: Ledger) -> None:
    first, _ = ledger.write(manifest.open_batch, a_named("evals"))
    with pytest.raises(NameTaken, match=f"the name evals belongs to batch {first}; choose another one"):
        ledger.write(manifest.open_batch, a_named("evals"))
    other, _ = ledger.write(manifest.open_batch, replace(a_named("evals"), project="research"))
    assert other != first


def a_named(name: str) -> NewBatch:
    return replace(a_submission(), name=name)
