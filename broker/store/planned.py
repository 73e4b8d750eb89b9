"""The rows that a plan consists of, as the statements of a record take them."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from broker.domain.attempt import AttemptState
from broker.domain.job import JobKey
from broker.domain.money import ZERO
from broker.domain.report import Again, Conclusion, Part, Report
from broker.domain.usage import Usage, summed
from broker.store.facts import BatchFacts, KeptPart
from broker.store.losses import packed

Row = dict[str, Any]


def hour_key(batch: BatchFacts, report: Report) -> tuple[tuple[str, Any], ...]:
    return (
        ("project", batch.project),
        ("tag", batch.tag),
        ("account", report.account),
        ("provider", report.provider),
        ("model", report.model),
        ("hour", int(report.finished_at // 3600) * 3600),
    )


def _usage_columns(usage: Usage, cost: Decimal | None) -> Row:
    return {
        "input_tokens": usage.input_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "usage_source": usage.source,
        "cost": cost,
    }


def attempt_row(report: Report, state: AttemptState) -> Row:
    error = report.error
    return {
        "of_batch": report.key.batch_id,
        "of_position": report.key.position,
        "of_number": report.number,
        "state": state,
        "error_class": error.error_class if error else None,
        "error": _text(error.message) if error else None,
        "status": error.status if error else None,
        "provider_request_id": _text(report.request_id),
        "sent_at": report.sent_at,
        "finished_at": report.finished_at,
        **_usage_columns(report.usage, report.cost),
        "price_version": report.price_version,
    }


def part_row(report: Report, part: Part) -> Row:
    return {
        "batch_id": report.key.batch_id,
        "position": report.key.position,
        "part": part.number,
        "number": report.number,
        "body": part.body,
    }


def result_row(report: Report, conclusion: Conclusion, parts: Sequence[KeptPart], seq: int, at: float) -> Row:
    usage, cost = report.usage, report.cost
    used = [part for part in parts if part.number < conclusion.parts]
    if used:
        usage = summed([*(part.usage for part in used), usage])
        costs = [*(part.cost for part in used), cost]
        cost = None if None in costs else sum((each for each in costs if each is not None), ZERO)
    return {
        "batch_id": report.key.batch_id,
        "position": report.key.position,
        "seq": seq,
        "custom_id": conclusion.custom_id,
        "state": conclusion.state,
        "status": conclusion.status,
        "body": conclusion.body,
        "error_code": _text(conclusion.error_code),
        "error_message": _text(conclusion.error_message),
        "request_id": _text(report.request_id),
        **_usage_columns(usage, cost),
        "account": report.account,
        "provider": report.provider,
        "model": _text(conclusion.model),
        "attempts": report.number,
        "finished_at": at,
        "warnings": packed(conclusion.warnings),
    }


def _text(said: str | None) -> str | None:
    """What a provider said, without what a database cannot hold (NUL, half surrogates): a paid answer must be kept."""
    if not said or (said.isascii() and "\x00" not in said):
        return said
    return said.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def due_row(key: JobKey, again: Again, at: float) -> Row:
    return {"batch_id": key.batch_id, "position": key.position, "at": at + again.in_s, "why": again.why}
