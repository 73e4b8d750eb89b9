"""Builders: a run as its view sees it."""

from decimal import Decimal
from typing import Any

from broker.domain.batch import Batch, BatchState, Counts
from broker.domain.usage import Usage
from broker.progress import AccountProgress, LimitUse, Progress


def a_batch(**changes: Any) -> Batch:
    facts: dict[str, Any] = {
        "id": 3,
        "project": "default",
        "tag": "",
        "state": BatchState.RUNNING,
        "weight": 1.0,
        "counts": Counts(total=10_000, fed=6_000, succeeded=5_380, failed=20),
        "usage": Usage(input_tokens=2_000, output_tokens=1_000),
        "cost": Decimal("0.4312"),
        "unpriced": 0,
        "created_at": 0.0,
        "accepted_at": 100.0,
        "finished_at": None,
        "source": "jobs.jsonl",
        "output": "/data/out.jsonl",
    }
    return Batch(**(facts | changes))


def an_account(name: str = "team-a", **changes: Any) -> AccountProgress:
    facts: dict[str, Any] = {
        "name": name,
        "provider": "openai",
        "state": "active",
        "reason": None,
        "waits_for": None,
        "resumes_in_s": None,
        "in_flight": 20,
        "slots": 64,
        "limits": [LimitUse(resource="requests", share=0.5), LimitUse(resource="tokens", share=0.41)],
    }
    return AccountProgress(**(facts | changes))


def a_progress(*accounts: AccountProgress, **changes: Any) -> Progress:
    facts: dict[str, Any] = {
        "batch": a_batch(),
        "elapsed_s": 83.0,
        "rows_per_s": 98.24,
        "tokens_per_s": 21_400.0,
        "eta_s": 47.0,
        "accounts": accounts or (an_account(),),
    }
    return Progress(**(facts | changes))
