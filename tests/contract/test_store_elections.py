"""A role has one holder at a time, on both databases."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, update

from broker.store import elections
from broker.store.elections import LEASE_S, Deposed
from broker.store.tables import elections as table
from broker.testing.contracts.store import Ledger, opened

ROLE = "feeder"


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    with opened(database_url) as ledger:
        yield ledger


def _let_pass(connection: Connection, seconds: float) -> None:
    connection.execute(update(table).values(renewed_at=table.c.renewed_at - seconds))


def test_the_first_to_stand_is_elected_and_the_second_waits(ledger: Ledger) -> None:
    assert ledger.write(elections.stand, ROLE, "a", None) == 1
    assert ledger.write(elections.stand, ROLE, "b", None) is None
    assert ledger.write(elections.stand, "reaper", "b", None) == 1


def test_a_holder_that_renews_stays(ledger: Ledger) -> None:
    epoch = ledger.write(elections.stand, ROLE, "a", None)
    for _ in range(3):
        ledger.write(_let_pass, LEASE_S - 1)
        assert ledger.write(elections.stand, ROLE, "a", epoch) == epoch
        assert ledger.write(elections.stand, ROLE, "b", None) is None


def test_a_holder_that_fell_silent_is_followed_in_a_new_epoch_and_may_write_no_more(ledger: Ledger) -> None:
    epoch = ledger.write(elections.stand, ROLE, "a", None)
    assert epoch is not None
    ledger.write(_let_pass, LEASE_S + 1)
    assert ledger.write(elections.stand, ROLE, "b", None) == epoch + 1
    assert ledger.write(elections.stand, ROLE, "a", epoch) is None
    with pytest.raises(Deposed):
        ledger.read(elections.check, ROLE, epoch)
    ledger.read(elections.check, ROLE, epoch + 1)


def test_a_new_process_of_the_same_name_is_not_the_old_one(ledger: Ledger) -> None:
    ledger.write(elections.stand, ROLE, "a", None)
    assert ledger.write(elections.stand, ROLE, "a", None) is None


def test_who_resigns_is_followed_at_once(ledger: Ledger) -> None:
    epoch = ledger.write(elections.stand, ROLE, "a", None)
    assert epoch is not None
    ledger.write(elections.resign, ROLE, epoch)
    assert ledger.write(elections.stand, ROLE, "b", None) == epoch + 1


def test_an_earlier_holder_cannot_resign_for_its_successor(ledger: Ledger) -> None:
    epoch = ledger.write(elections.stand, ROLE, "a", None)
    assert epoch is not None
    ledger.write(_let_pass, LEASE_S + 1)
    ledger.write(elections.stand, ROLE, "b", None)
    ledger.write(elections.resign, ROLE, epoch)
    assert ledger.write(elections.stand, ROLE, "c", None) is None
