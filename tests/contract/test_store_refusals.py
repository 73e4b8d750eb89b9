"""Values that a database will never take, on both: told apart from a database that cannot be reached."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import Connection, insert

from broker.domain.report import Conclusion, Report
from broker.errors import StoreRefused, StoreUnavailable
from broker.store.tables import projects
from broker.testing.builders import a_report, a_usage
from broker.testing.contracts.store import Ledger, opened


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    with opened(database_url) as ledger:
        yield ledger


def _with_too_many_tokens(report: Report) -> Report:
    return replace(report, usage=replace(a_usage(), input_tokens=2**63))


def _with_too_high_a_cost(report: Report) -> Report:
    return replace(report, cost=Decimal(10) ** 17)


def _with_half_a_character(report: Report) -> Report:
    assert isinstance(report.then, Conclusion)
    return replace(report, then=replace(report.then, custom_id="row-\ud83d"))


@pytest.mark.parametrize("spoilt", [_with_too_many_tokens, _with_too_high_a_cost, _with_half_a_character])
def test_a_report_that_cannot_be_stored_is_refused_and_leaves_nothing(
    ledger: Ledger, spoilt: Callable[[Report], Report]
) -> None:
    batch_id = ledger.batch()
    ledger.claim_all(batch_id, 2)
    with pytest.raises(StoreRefused):
        ledger.record(a_report((batch_id, 0)), spoilt(a_report((batch_id, 1))))
    assert ledger.results(batch_id) == []
    ledger.record(a_report((batch_id, 0)))
    assert len(ledger.results(batch_id)) == 1
    ledger.audit()


def test_a_row_that_is_there_already_is_refused(ledger: Ledger) -> None:
    def twice(connection: Connection) -> None:
        connection.execute(insert(projects), [{"name": "same", "created_at": 0.0}] * 2)

    with pytest.raises(StoreRefused):
        ledger.write(twice)


def test_a_statement_that_means_nothing_is_no_fault_of_the_values(ledger: Ledger) -> None:
    with pytest.raises(StoreUnavailable):
        ledger.write(lambda connection: connection.exec_driver_sql("select nothing from nowhere"))
