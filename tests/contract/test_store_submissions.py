"""Submissions that come message by message, on both databases."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from broker.domain.attempt import AttemptState
from broker.domain.batch import BatchState
from broker.domain.loss import OnLoss
from broker.domain.report import Again
from broker.store import batches, manifest, submissions
from broker.store.engine import open_database
from broker.store.record import record
from broker.store.segment import SegmentDraft
from broker.store.submissions import (
    NO_BATCH,
    Appended,
    BatchDiffers,
    BatchSealed,
    Done,
    IdConflict,
    NoBatchOfThatName,
    OpenBatch,
    Sealed,
    Submission,
)
from broker.store.tables import batches as batches_table
from broker.store.tables import projects, segments
from broker.store.tables import submissions as submissions_table
from broker.testing.builders import a_claim, a_report, a_segment
from broker.testing.contracts.store import Ledger, opened


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    with opened(database_url) as ledger:
        yield ledger


def a_message(name: str = "m1", *, body_hash: str = "sha256:1", project: str = "lab") -> Submission:
    return Submission(project=project, submission_id=name, body_hash=body_hash)


def an_open_batch(name: str = "eval", *, project: str = "lab", **changes: object) -> OpenBatch:
    facts: dict[str, object] = {"project": project, "name": name, "dialect": "openai", "source": name}
    return OpenBatch(**(facts | changes))  # type: ignore[arg-type]  # a test names fields of `OpenBatch`


def packed(jobs: int) -> Callable[[int], Sequence[SegmentDraft]]:
    return lambda first: [a_segment(range(first, first + jobs))]


def told(done: Appended) -> str:
    return f"{done.batch_id}: {done.jobs} from {done.first_position}"


def append(ledger: Ledger, name: str, jobs: int = 2, **said: object) -> str:
    message = a_message(name)
    return ledger.write(submissions.append, message, an_open_batch(), packed(jobs), told, **said)  # type: ignore[arg-type]


def seal(ledger: Ledger, message: str = "end", name: str = "eval") -> str:
    def reply(done: Sealed) -> str:
        return f"{done.batch_id}: {done.total}"

    return ledger.write(submissions.seal, a_message(message), name, reply)


def the_batch(ledger: Ledger) -> dict[str, object]:
    (row,) = ledger.rows(batches_table)
    return row


def test_the_first_jobs_open_a_batch_that_runs_at_once_and_is_not_sealed(ledger: Ledger) -> None:
    batch = an_open_batch(tag="nightly", weight=2.5, source="AMQP")
    reply = ledger.write(submissions.append, a_message(), batch, packed(2), told)
    row = the_batch(ledger)
    assert reply == f"{row['batch_id']}: 2 from 0"
    assert [row[name] for name in ("project", "name", "tag", "weight", "dialect", "source")] == [
        "lab", "eval", "nightly", 2.5, "openai", "AMQP",
    ]  # fmt: skip
    assert (row["state"], row["sealed"], row["total"], row["seal_at"]) == ("running", False, 2, None)
    assert row["accepted_at"] is not None
    assert [row["name"] for row in ledger.rows(projects)] == ["lab"]
    assert ledger.read(manifest.unfed_routes) == [(row["batch_id"], "gpt-5-mini", 2)]


def test_later_jobs_come_behind_in_segments_of_their_own(ledger: Ledger) -> None:
    append(ledger, "m1", 2)
    reply = append(ledger, "m2", 3)
    rows = ledger.rows(segments)
    assert [(row["number"], row["first_position"], row["last_position"]) for row in rows] == [(0, 0, 1), (1, 2, 4)]
    assert reply.endswith("3 from 2")
    assert the_batch(ledger)["total"] == 5


@pytest.mark.parametrize(
    ("differs", "why"),
    [
        ({"dialect": "anthropic"}, "has dialect openai, and the message says anthropic"),
        ({"on_loss": OnLoss.DROP}, "has on_loss fail, and the message says drop"),
        ({"use": "non-commercial"}, "has use none, and the message says non-commercial"),
    ],
)
def test_a_batch_has_one_form_one_use_and_one_rule_for_losses(
    ledger: Ledger, differs: dict[str, Any], why: str
) -> None:
    append(ledger, "m1")
    with pytest.raises(BatchDiffers, match=why) as caught:
        ledger.write(submissions.append, a_message("m2"), replace(an_open_batch(), **differs), packed(1), told)
    assert caught.value.code == "batch_differs"
    assert the_batch(ledger)["total"] == 2
    ledger.write(submissions.append, a_message("m2"), replace(an_open_batch("other"), **differs), packed(1), told)
    opened_with = {"dialect": "openai", "on_loss": "fail", "use": None} | differs
    assert {name: ledger.rows(batches_table)[-1][name] for name in opened_with} == opened_with


def test_the_same_submission_again_changes_nothing_and_gets_the_first_reply(ledger: Ledger) -> None:
    first = append(ledger, "m1", 2)
    append(ledger, "m2", 1)
    assert append(ledger, "m1", 2) == first
    assert the_batch(ledger)["total"] == 3
    assert len(ledger.rows(segments)) == 2
    assert ledger.read(submissions.first_reply, a_message("m1")) == first


def test_another_body_under_the_same_id_is_a_conflict(ledger: Ledger) -> None:
    append(ledger, "m1")
    other = a_message("m1", body_hash="sha256:2")
    with pytest.raises(IdConflict) as caught:
        ledger.write(submissions.append, other, an_open_batch(), packed(1), told)
    assert caught.value.code == "id_conflict"
    with pytest.raises(IdConflict):
        ledger.read(submissions.first_reply, other)
    assert the_batch(ledger)["total"] == 2


def test_an_id_that_a_file_was_submitted_under_is_taken(ledger: Ledger) -> None:
    new = manifest.NewBatch(project="lab", submission_id="m1", body_hash="sha256:1", dialect="openai", source="a.jsonl")
    ledger.write(manifest.open_batch, new)
    with pytest.raises(IdConflict):
        append(ledger, "m1")


def test_ids_and_batch_names_belong_to_their_project(ledger: Ledger) -> None:
    first = append(ledger, "m1")
    other = ledger.write(
        submissions.append,
        a_message("m1", project="research", body_hash="sha256:2"),
        an_open_batch(project="research"),
        packed(1),
        told,
    )
    assert first.partition(":")[0] != other.partition(":")[0]
    assert {(row["project"], row["total"]) for row in ledger.rows(batches_table)} == {("lab", 2), ("research", 1)}


def test_what_was_refused_leaves_its_id_free(ledger: Ledger) -> None:
    append(ledger, "m1", last=True)
    with pytest.raises(BatchSealed):
        append(ledger, "m2")
    assert ledger.read(submissions.first_reply, a_message("m2")) is None
    assert {row["submission_id"] for row in ledger.rows(submissions_table)} == {"m1"}


def test_a_submission_may_concern_no_batch(ledger: Ledger) -> None:
    reply = ledger.write(submissions.once, a_message(), lambda: Done(batch_id=NO_BATCH, reply="done"))
    assert ledger.write(submissions.once, a_message(), lambda: pytest.fail("done twice")) == reply == "done"


def test_a_sealed_batch_takes_no_more_jobs(ledger: Ledger) -> None:
    append(ledger, "m1")
    seal(ledger)
    with pytest.raises(BatchSealed, match="is sealed") as caught:
        append(ledger, "m2")
    assert caught.value.code == "batch_sealed"
    assert the_batch(ledger)["total"] == 2


@pytest.mark.parametrize("state", [BatchState.CANCELLING, BatchState.CANCELLED])
def test_a_cancelled_batch_takes_no_more_jobs(ledger: Ledger, state: BatchState) -> None:
    append(ledger, "m1")
    ledger.write(lambda connection: connection.execute(update(batches_table).values(state=state)))
    with pytest.raises(BatchSealed, match=state):
        append(ledger, "m2")


def test_a_paused_batch_takes_jobs(ledger: Ledger) -> None:
    append(ledger, "m1")
    (row,) = ledger.rows(batches_table)
    ledger.write(batches.move, row["batch_id"], BatchState.PAUSED)
    append(ledger, "m2")
    assert (the_batch(ledger)["state"], the_batch(ledger)["total"]) == ("paused", 4)


def finish(ledger: Ledger, jobs: int) -> int:
    batch_id = int(str(the_batch(ledger)["batch_id"]))
    ledger.claim_all(batch_id, jobs)
    ledger.record(*(a_report((batch_id, position)) for position in range(jobs)))
    return batch_id


def test_an_open_batch_does_not_complete_with_its_last_result(ledger: Ledger) -> None:
    append(ledger, "m1")
    batch_id = finish(ledger, 2)
    assert ledger.get(batch_id).state is BatchState.RUNNING
    append(ledger, "m2", 1)
    assert ledger.get(batch_id).counts.total == 3


def test_sealing_a_batch_whose_jobs_are_finished_completes_it(ledger: Ledger) -> None:
    append(ledger, "m1")
    batch_id = finish(ledger, 2)
    assert seal(ledger) == f"{batch_id}: 2"
    batch = ledger.get(batch_id)
    assert (batch.state, batch.counts.succeeded) == (BatchState.COMPLETED, 2)
    assert batch.finished_at is not None
    ledger.audit()


def test_a_sealed_batch_completes_with_its_last_result(ledger: Ledger) -> None:
    append(ledger, "m1", last=True)
    assert the_batch(ledger)["sealed"] is True or the_batch(ledger)["sealed"] == 1
    batch_id = finish(ledger, 2)
    assert ledger.get(batch_id).state is BatchState.COMPLETED


def test_a_job_that_waits_for_another_try_keeps_a_sealed_batch_running(ledger: Ledger) -> None:
    append(ledger, "m1")
    batch_id = int(str(the_batch(ledger)["batch_id"]))
    ledger.claim_all(batch_id, 2)
    ledger.record(a_report((batch_id, 0)), a_report((batch_id, 1), 1, AttemptState.REFUSED, Again(in_s=0, why="busy")))
    seal(ledger)
    assert ledger.get(batch_id).state is BatchState.RUNNING
    assert len(ledger.due_keys()) == 1


def test_sealing_twice_is_fine_and_an_unknown_batch_is_not(ledger: Ledger) -> None:
    append(ledger, "m1")
    assert seal(ledger, "end") == seal(ledger, "end again")
    with pytest.raises(NoBatchOfThatName) as caught:
        seal(ledger, "other", "elsewhere")
    assert caught.value.code == "not_found"


def test_a_batch_is_sealed_when_its_time_has_come(ledger: Ledger) -> None:
    append(ledger, "m1", seal_after_s=60.0)
    batch_id = finish(ledger, 2)
    assert ledger.write(submissions.seal_due) == []
    pass_time(ledger, 61)
    assert ledger.write(submissions.seal_due) == [batch_id]
    assert ledger.get(batch_id).state is BatchState.COMPLETED
    assert the_batch(ledger)["seal_at"] is None
    assert ledger.write(submissions.seal_due) == []


def test_every_submission_moves_the_time_of_sealing_on(ledger: Ledger) -> None:
    append(ledger, "m1", seal_after_s=60.0)
    pass_time(ledger, 50)
    append(ledger, "m2")  # names no time: the one that was agreed starts again
    pass_time(ledger, 50)
    assert ledger.write(submissions.seal_due) == []
    pass_time(ledger, 11)
    assert len(ledger.write(submissions.seal_due)) == 1


def test_the_latest_time_that_was_named_counts(ledger: Ledger) -> None:
    append(ledger, "m1", seal_after_s=60.0)
    append(ledger, "m2", seal_after_s=5.0)
    pass_time(ledger, 6)
    assert len(ledger.write(submissions.seal_due)) == 1


def test_a_batch_without_a_time_is_never_sealed_by_itself(ledger: Ledger) -> None:
    append(ledger, "m1")
    append(ledger, "m2")
    assert the_batch(ledger)["seal_at"] is None
    assert ledger.write(submissions.seal_due) == []


def pass_time(ledger: Ledger, seconds: float) -> None:
    """Let everything that was written down be so much longer ago."""
    ledger.write(
        lambda connection: [
            connection.execute(update(batches_table).values(seal_at=batches_table.c.seal_at - seconds)),
            connection.execute(update(submissions_table).values(created_at=submissions_table.c.created_at - seconds)),
        ]
    )


def test_a_hundred_twins_are_accepted_once(database_url: str) -> None:
    async def together() -> list[str]:
        database = open_database(database_url)
        try:
            async with asyncio.TaskGroup() as tasks:
                twins = [
                    tasks.create_task(database.write(submissions.append, a_message(), an_open_batch(), packed(2), told))
                    for _ in range(100)
                ]
            return [twin.result() for twin in twins]
        finally:
            await database.close()

    replies = asyncio.run(together())
    with opened(database_url) as ledger:
        assert set(replies) == {f"{the_batch(ledger)['batch_id']}: 2 from 0"}
        assert the_batch(ledger)["total"] == 2
        assert len(ledger.rows(segments)) == 1


def test_positions_of_concurrent_submissions_never_collide(database_url: str) -> None:
    async def together() -> None:
        database = open_database(database_url)
        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(60):
                    message = a_message(f"m{number}")
                    jobs = 1 + number % 3
                    tasks.create_task(database.write(submissions.append, message, an_open_batch(), packed(jobs), told))
        finally:
            await database.close()

    asyncio.run(together())
    with opened(database_url) as ledger:
        spans = sorted((row["first_position"], row["last_position"]) for row in ledger.rows(segments))
        assert [first for first, _ in spans] == [0, *(last + 1 for _, last in spans[:-1])]
        assert the_batch(ledger)["total"] == spans[-1][1] + 1 == 120


def test_results_and_submissions_of_one_batch_at_the_same_time_agree(database_url: str) -> None:
    """Recorders finish jobs while more are added, and sealing comes in between: it completes once, with everything."""
    with opened(database_url) as ledger:
        append(ledger, "m0", 20)
        batch_id = int(str(the_batch(ledger)["batch_id"]))
        ledger.claim_all(batch_id, 20)

        async def together() -> None:
            async with asyncio.TaskGroup() as tasks:
                for number in range(20):
                    tasks.create_task(ledger.database.write(record, [a_report((batch_id, number))]))
                    message = a_message(f"m{number + 1}")
                    tasks.create_task(
                        ledger.database.write(submissions.append, message, an_open_batch(), packed(1), told)
                    )

        ledger._runner.run(together())
        batch = ledger.get(batch_id)
        assert (batch.state, batch.counts.total, batch.counts.succeeded) == (BatchState.RUNNING, 40, 20)
        seal(ledger)
        assert ledger.get(batch_id).state is BatchState.RUNNING
        keys = [(batch_id, position) for position in range(20, 40)]
        ledger.claim(*(a_claim(key) for key in keys))
        ledger.record(*(a_report(key) for key in keys))
        assert ledger.get(batch_id).state is BatchState.COMPLETED
        ledger.audit()
