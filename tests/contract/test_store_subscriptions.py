"""Subscriptions and their cursors, and the rows of the quarantine, on both databases."""

from collections.abc import Iterator

import pytest

from broker.domain.batch import BatchState
from broker.store import manifest, quarantine, submissions, subscriptions
from broker.store.quarantine import Quarantined
from broker.store.submissions import IdConflict, NoBatchOfThatName, OpenBatch, Submission
from broker.store.subscriptions import SubscriptionExists
from broker.store.tables import quarantine as quarantine_table
from broker.store.tables import subscription_cursors
from broker.store.tables import subscriptions as subscriptions_table
from broker.testing.builders import a_batch, a_report, a_segment, a_submission
from broker.testing.contracts.store import Ledger, opened


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    with opened(database_url) as ledger:
        yield ledger


def subscribe(ledger: Ledger, name: str, batch: str | None = None, *, message: str = "", body: str = "1") -> str:
    submission = Submission(project="default", submission_id=message or f"for {name}", body_hash=body)
    return ledger.write(subscriptions.subscribe, submission, name, batch, "done")


def unsubscribe(ledger: Ledger, name: str) -> str:
    submission = Submission(project="default", submission_id=f"against {name}", body_hash="1")
    return ledger.write(subscriptions.unsubscribe, submission, name, "gone")


def finish(ledger: Ledger, batch_id: int, *positions: int) -> None:
    ledger.claim_all(batch_id, max(positions) + 1)
    ledger.record(*(a_report((batch_id, position)) for position in positions))


def waiting(ledger: Ledger) -> list[tuple[str, int, int, bool]]:
    return [(row.name, row.batch_id, row.seq, row.ended) for row in ledger.read(subscriptions.backlog, 100)]


def serve(ledger: Ledger, name: str, batch_id: int, seq: int) -> None:
    for row in ledger.rows(subscriptions_table):
        if row["name"] == name:
            ledger.write(subscriptions.advance, row["subscription_id"], batch_id, seq)


def test_a_project_subscription_has_a_cursor_for_each_batch(ledger: Ledger) -> None:
    first, second = ledger.batch(2), ledger.batch(2)
    subscribe(ledger, "all")
    finish(ledger, first, 0)
    finish(ledger, second, 0, 1)
    assert waiting(ledger) == [("all", first, 0, False), ("all", second, 0, True)]
    serve(ledger, "all", first, 1)
    serve(ledger, "all", second, 1)
    assert waiting(ledger) == [("all", second, 1, True)]


def test_a_batch_that_was_finished_before_is_served_from_its_start(ledger: Ledger) -> None:
    batch_id = ledger.batch(2)
    finish(ledger, batch_id, 0, 1)
    subscribe(ledger, "late")
    assert waiting(ledger) == [("late", batch_id, 0, True)]


def test_the_end_of_a_batch_is_one_step_behind_its_last_result(ledger: Ledger) -> None:
    batch_id = ledger.batch(2)
    subscribe(ledger, "all")
    finish(ledger, batch_id, 0, 1)
    serve(ledger, "all", batch_id, 2)
    assert waiting(ledger) == [("all", batch_id, 2, True)]
    serve(ledger, "all", batch_id, 3)
    assert waiting(ledger) == []


def test_a_batch_that_has_nothing_new_does_not_wait(ledger: Ledger) -> None:
    batch_id = ledger.batch(2)
    subscribe(ledger, "all")
    assert waiting(ledger) == []
    finish(ledger, batch_id, 0)
    serve(ledger, "all", batch_id, 1)
    assert waiting(ledger) == []


def test_a_batch_that_is_still_being_read_is_not_served(ledger: Ledger) -> None:
    batch_id, _ = ledger.write(manifest.open_batch, a_submission())
    ledger.write(manifest.add_segments, batch_id, 0, [a_segment(range(2))])
    subscribe(ledger, "all")
    assert ledger.get(batch_id).state is BatchState.RECEIVING
    assert waiting(ledger) == []


def test_other_projects_are_not_served(ledger: Ledger) -> None:
    other = ledger.write(a_batch, 1, submission=a_submission(project="research"))
    subscribe(ledger, "all")
    finish(ledger, other, 0)
    assert waiting(ledger) == []


def open_batch(ledger: Ledger, name: str) -> int:
    message = Submission(project="default", submission_id=name, body_hash="1")
    batch = OpenBatch(project="default", name=name, dialect="openai", source=name)
    return int(
        ledger.write(
            submissions.append, message, batch, lambda first: [a_segment([first])], lambda done: str(done.batch_id)
        )
    )


def test_a_batch_subscription_gets_that_batch_only(ledger: Ledger) -> None:
    mine, other = open_batch(ledger, "mine"), open_batch(ledger, "other")
    subscribe(ledger, "one", "mine")
    finish(ledger, mine, 0)
    finish(ledger, other, 0)
    (row,) = ledger.read(subscriptions.backlog, 100)
    assert (row.name, row.batch_id, row.batch, row.ended) == ("one", mine, "mine", False)
    assert (row.counts.total, row.counts.succeeded) == (1, 1)


def test_a_subscription_to_an_unknown_batch_is_refused(ledger: Ledger) -> None:
    with pytest.raises(NoBatchOfThatName):
        subscribe(ledger, "one", "elsewhere")


def test_a_name_stands_for_one_subscription(ledger: Ledger) -> None:
    open_batch(ledger, "mine")
    subscribe(ledger, "one", "mine")
    with pytest.raises(SubscriptionExists) as caught:
        subscribe(ledger, "one", message="other")
    assert caught.value.code == "subscription_exists"


def test_a_cursor_only_moves_forward(ledger: Ledger) -> None:
    batch_id = ledger.batch(2)
    subscribe(ledger, "all")
    serve(ledger, "all", batch_id, 2)
    serve(ledger, "all", batch_id, 1)
    assert [row["seq"] for row in ledger.rows(subscription_cursors)] == [2]


def test_a_subscription_that_is_gone_has_no_cursor(ledger: Ledger) -> None:
    batch_id = ledger.batch(1)
    subscribe(ledger, "all")
    (row,) = ledger.rows(subscriptions_table)
    serve(ledger, "all", batch_id, 1)
    unsubscribe(ledger, "all")
    ledger.write(subscriptions.advance, row["subscription_id"], batch_id, 2)
    assert ledger.rows(subscription_cursors) == ledger.rows(subscriptions_table) == []
    assert unsubscribe(ledger, "all") == "gone"


def test_subscribing_again_keeps_the_cursor(ledger: Ledger) -> None:
    batch_id = ledger.batch(1)
    subscribe(ledger, "all")
    serve(ledger, "all", batch_id, 1)
    assert subscribe(ledger, "all", message="another") == "done"
    assert len(ledger.rows(subscription_cursors)) == 1


def test_a_late_twin_of_a_subscription_does_not_bring_it_back(ledger: Ledger) -> None:
    subscribe(ledger, "all")
    unsubscribe(ledger, "all")
    assert subscribe(ledger, "all") == "done"
    assert ledger.rows(subscriptions_table) == []


def test_another_body_under_the_id_of_a_subscription_is_a_conflict(ledger: Ledger) -> None:
    subscribe(ledger, "all", message="m")
    with pytest.raises(IdConflict):
        subscribe(ledger, "other", message="m", body="2")


def test_no_subscription_hides_another(ledger: Ledger) -> None:
    """However many batches one of them has waiting."""
    for _ in range(5):
        finish(ledger, ledger.batch(1), 0)
    subscribe(ledger, "first")
    subscribe(ledger, "second")
    rows = ledger.read(subscriptions.backlog, 2)
    assert [row.name for row in rows] == ["first", "second", "first", "second"]


def test_a_quarantined_message_is_noted_without_what_cannot_be_stored(ledger: Ledger) -> None:
    noted = Quarantined(code="malformed", reason="no JSON", size=7, user_id="x" * 400, message_id="a\x00\ud800b")
    ledger.write(quarantine.add, noted)
    (row,) = ledger.rows(quarantine_table)
    assert (row["code"], row["reason"], row["size"], row["message_id"]) == ("malformed", "no JSON", 7, "a\ufffd\ufffdb")
    assert (len(row["user_id"]), row["received_at"] > 0) == (300, True)
