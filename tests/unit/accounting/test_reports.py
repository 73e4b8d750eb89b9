import json
from decimal import Decimal
from typing import Any

import pytest

from broker.accounting.reports import as_json, batch_report, plain
from broker.domain.attempt import AttemptState
from broker.domain.batch import Batch, BatchState, Counts
from broker.domain.totals import AttemptGroup, Totals
from broker.domain.usage import NO_USAGE


def a_batch(**changes: Any) -> Batch:
    facts: dict[str, Any] = {
        "id": 3,
        "project": "default",
        "tag": "",
        "state": BatchState.COMPLETED,
        "weight": 1.0,
        "counts": Counts(total=5, succeeded=3, failed=1, cancelled=1),
        "usage": NO_USAGE,
        "cost": Decimal(0),
        "unpriced": 0,
        "created_at": 90.0,
        "accepted_at": 100.0,
        "finished_at": 102.5,
        "source": "jobs.jsonl",
        "output": None,
    }
    return Batch(**(facts | changes))


def group(account: str, state: AttemptState, count: int, cost: str = "0", tokens: int = 0) -> AttemptGroup:
    reported = 0 if state in (AttemptState.OPEN, AttemptState.UNKNOWN) else count
    totals = Totals(attempts=reported, input_tokens=tokens, output_tokens=tokens, cost=Decimal(cost))
    return AttemptGroup(account=account, provider="openai", state=state, count=count, totals=totals)


GROUPS = [
    group("a", AttemptState.OK, 2, "0.25", 10),
    group("a", AttemptState.UNKNOWN, 1),
    group("b", AttemptState.OK, 1, "0.0000000001", 5),
    group("b", AttemptState.FAILED, 4),
]


def test_calls_and_sums_add_up_in_all_and_by_account() -> None:
    codes = {"server_error": 1, "batch_cancelled": 1, "x": 7}
    report = batch_report(a_batch(), GROUPS, last_result_at=102.5, error_codes=codes)
    facts = as_json(report)
    assert facts["makespan_s"] == 2.5
    assert (facts["total"], facts["succeeded"], facts["failed"], facts["cancelled"], facts["expired"]) == (
        5,
        3,
        1,
        1,
        0,
    )
    assert facts["attempts"] == {
        "total": 8, "open": 0, "ok": 3, "refused": 0, "failed": 4, "unknown": 1, "discarded": 0,
    }  # fmt: skip
    assert (facts["cost"], facts["usage"]["input_tokens"]) == ("0.2500000001", 15)
    assert list(facts["accounts"]) == ["a", "b"]
    assert facts["accounts"]["a"]["attempts"]["total"] == 3
    assert facts["accounts"]["b"]["cost"] == "0.0000000001"
    assert list(facts["error_codes"]) == ["x", "batch_cancelled", "server_error"]
    assert report.unknown == 1
    assert json.loads(json.dumps(facts)) == facts


@pytest.mark.parametrize(
    ("accepted_at", "last", "makespan"),
    [(100.0, None, None), (None, 90.0, None), (100.0, 99.0, 0.0), (100.0, 101.0, 1.0)],
)
def test_the_makespan_needs_both_ends(accepted_at: float | None, last: float | None, makespan: float | None) -> None:
    """Rows that did not validate are finished before their batch is accepted."""
    report = batch_report(a_batch(accepted_at=accepted_at), [], last_result_at=last, error_codes={})
    assert report.makespan_s == makespan


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "0"), ("0E-10", "0"), ("1E+2", "100"), ("0.2500000000", "0.25"), ("1E-10", "0.0000000001"), ("120", "120")],
)
def test_money_is_written_in_full(amount: str, text: str) -> None:
    assert plain(Decimal(amount)) == text
