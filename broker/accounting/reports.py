"""What a batch came to: rows, calls, tokens and money, in all and by account."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from operator import add
from typing import Any

from broker.domain.attempt import AttemptState
from broker.domain.batch import Batch
from broker.domain.totals import AttemptGroup, Totals

USAGE = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountReport:
    """One account's part of a batch."""

    name: str
    provider: str
    attempts: Mapping[AttemptState, int]
    totals: Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReport:
    """A batch and every call that was made for it."""

    batch: Batch
    makespan_s: float | None
    """From its acceptance to its last durable result; `None` before the first."""
    attempts: Mapping[AttemptState, int]
    """Every attempt there is, also those that have not reported."""
    totals: Totals
    accounts: Sequence[AccountReport]
    error_codes: Mapping[str, int]
    """Rows that did not succeed, by why; the most frequent first."""

    @property
    def unknown(self) -> int:
        """Calls that may have been paid for, and whose usage is in no sum."""
        return self.attempts.get(AttemptState.UNKNOWN, 0)


def batch_report(
    batch: Batch, groups: Sequence[AttemptGroup], *, last_result_at: float | None, error_codes: Mapping[str, int]
) -> BatchReport:
    """Put a batch's report together from its calls; `last_result_at` in seconds since the epoch."""
    by_account: dict[tuple[str, str], list[AttemptGroup]] = defaultdict(list)
    for group in groups:
        by_account[group.account, group.provider].append(group)
    # Rows that did not validate have their results before the batch is accepted.
    makespan = None if last_result_at is None or batch.accepted_at is None else last_result_at - batch.accepted_at
    return BatchReport(
        batch=batch,
        makespan_s=None if makespan is None else max(0.0, makespan),
        attempts=_counted(groups),
        totals=_added(groups),
        accounts=[
            AccountReport(name=name, provider=provider, attempts=_counted(its), totals=_added(its))
            for (name, provider), its in sorted(by_account.items())
        ],
        error_codes=dict(sorted(error_codes.items(), key=lambda item: (-item[1], item[0]))),
    )


def as_json(report: BatchReport) -> dict[str, Any]:
    """The report as plain JSON; money is a decimal in a string, unknown is null."""
    counts = report.batch.counts
    return {
        "batch": report.batch.id,
        "state": str(report.batch.state),
        "total": counts.total,
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
        "expired": counts.expired,
        "makespan_s": None if report.makespan_s is None else round(report.makespan_s, 3),
        "attempts": _attempts(report.attempts),
        **totals_json(report.totals),
        "error_codes": dict(report.error_codes),
        "accounts": {
            account.name: {
                "provider": account.provider,
                "attempts": _attempts(account.attempts),
                **totals_json(account.totals),
            }
            for account in report.accounts
        },
    }


def totals_json(totals: Totals) -> dict[str, Any]:
    """Tokens, cost and the number of calls that are missing from the cost."""
    return {
        "usage": {name: getattr(totals, name) for name in USAGE},
        "cost": plain(totals.cost),
        "unpriced": totals.unpriced,
    }


def plain(amount: Decimal) -> str:
    """An amount in full, without an exponent and without idle zeros."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _attempts(attempts: Mapping[AttemptState, int]) -> dict[str, int]:
    return {"total": sum(attempts.values())} | {state.value: attempts.get(state, 0) for state in AttemptState}


def _counted(groups: Sequence[AttemptGroup]) -> dict[AttemptState, int]:
    return {
        state: count
        for state in AttemptState
        if (count := sum(group.count for group in groups if group.state is state))
    }


def _added(groups: Sequence[AttemptGroup]) -> Totals:
    return reduce(add, (group.totals for group in groups), Totals())
