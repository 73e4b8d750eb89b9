"""What was asked of a fleet, and who is there, on both databases."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, update

from broker.store import scales
from broker.store import workers as store
from broker.store.tables import workers
from broker.testing.builders import ACCOUNT
from broker.testing.contracts.store import Ledger, opened


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    with opened(database_url) as ledger:
        yield ledger


def test_the_last_number_that_was_asked_for_counts(ledger: Ledger) -> None:
    ledger.write(scales.ask, {"b": 4, "a": 0})
    ledger.write(scales.ask, {"b": 2})
    assert ledger.read(scales.asked) == {"a": 0, "b": 2}


def test_a_number_can_be_withdrawn_together_with_asking_for_another(ledger: Ledger) -> None:
    ledger.write(scales.ask, {"a": 3, "b": 4})
    ledger.write(scales.ask, {"a": None, "c": 1, "never asked": None})
    assert ledger.read(scales.asked) == {"b": 4, "c": 1}


def test_asking_for_nothing_changes_nothing(ledger: Ledger) -> None:
    ledger.write(scales.ask, {"a": 3})
    ledger.write(scales.ask, {})
    assert ledger.read(scales.asked) == {"a": 3}


def test_who_has_shown_life_is_present(ledger: Ledger) -> None:
    ledger.write(store.register, "worker-2", "z")
    ledger.write(_says, "worker-2", {"in_flight": 3, "slots": 8, "waits_for": "tokens", "busy": 0.25})
    first, second = ledger.read(scales.present)
    assert (first.worker_id, first.account, first.slots, first.busy) == (ledger.worker, ACCOUNT, None, None)
    assert (second.account, second.in_flight, second.slots) == ("z", 3, 8)
    assert (second.waits_for, second.busy) == ("tokens", 0.25)


def test_who_said_goodbye_or_shows_no_life_is_not_present(ledger: Ledger) -> None:
    ledger.write(store.register, "worker-2", ACCOUNT)
    ledger.write(store.stop, "worker-2")
    assert [one.worker_id for one in ledger.read(scales.present)] == [ledger.worker]
    ledger.age_heartbeat(14.0)
    assert [one.worker_id for one in ledger.read(scales.present)] == [ledger.worker]
    ledger.age_heartbeat(2.0)
    assert ledger.read(scales.present) == []


def _says(connection: Connection, worker_id: str, facts: dict[str, object]) -> None:
    connection.execute(update(workers).where(workers.c.worker_id == worker_id).values(facts))
