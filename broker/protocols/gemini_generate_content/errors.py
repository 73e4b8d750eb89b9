"""Error responses of Gemini: what went wrong, where the job may be tried again, and how we say so ourselves.

The details decide first (`ErrorInfo.reason`, `QuotaFailure.quotaId`), then the name of the status, then the HTTP
status. The message decides where Google says it nowhere else: size, keys that have expired, and models that an
account has not (`limit: 0`). Source: Gemini API guides "Troubleshooting" and "Rate limits", AIP-193.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from broker.domain.attempt import CallError, ErrorClass
from broker.limits.durations import duration_s
from broker.limits.headers import hint_in_message
from broker.protocols.errors import by_status, call_error, error_value, scope_of, shown, text_of, wait_of

_STATUSES: Mapping[str, ErrorClass] = {
    "INVALID_ARGUMENT": ErrorClass.INVALID_REQUEST,
    "OUT_OF_RANGE": ErrorClass.INVALID_REQUEST,
    "UNIMPLEMENTED": ErrorClass.INVALID_REQUEST,
    "FAILED_PRECONDITION": ErrorClass.PERMISSION,  # billing is not switched on, or not in this region
    "UNAUTHENTICATED": ErrorClass.AUTHENTICATION,
    "PERMISSION_DENIED": ErrorClass.PERMISSION,
    "NOT_FOUND": ErrorClass.NOT_FOUND,
    "RESOURCE_EXHAUSTED": ErrorClass.RATE_LIMITED,
    "ABORTED": ErrorClass.SERVER_ERROR,
    "CANCELLED": ErrorClass.SERVER_ERROR,
    "INTERNAL": ErrorClass.SERVER_ERROR,
    "UNKNOWN": ErrorClass.SERVER_ERROR,
    "DATA_LOSS": ErrorClass.SERVER_ERROR,
    "UNAVAILABLE": ErrorClass.OVERLOADED,
    "DEADLINE_EXCEEDED": ErrorClass.TIMEOUT,
}
_REASONS: Mapping[str, ErrorClass] = {
    **dict.fromkeys(
        (
            *("API_KEY_INVALID", "API_KEY_EXPIRED", "CREDENTIALS_MISSING", "ACCESS_TOKEN_EXPIRED"),
            *("ACCESS_TOKEN_TYPE_UNSUPPORTED", "ACCOUNT_STATE_INVALID", "CONSUMER_SUSPENDED", "CONSUMER_INVALID"),
        ),
        ErrorClass.AUTHENTICATION,
    ),
    **dict.fromkeys(
        (
            *("API_KEY_SERVICE_BLOCKED", "API_KEY_HTTP_REFERRER_BLOCKED", "API_KEY_IP_ADDRESS_BLOCKED"),
            *(
                "SERVICE_DISABLED",
                "IAM_PERMISSION_DENIED",
                "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
                "LOCATION_POLICY_VIOLATED",
            ),
        ),
        ErrorClass.PERMISSION,
    ),
    "BILLING_DISABLED": ErrorClass.SPEND,
    "QUOTA_EXHAUSTED": ErrorClass.DAILY_QUOTA,
    "RATE_LIMIT_EXCEEDED": ErrorClass.RATE_LIMITED,
    "MODEL_CAPACITY_EXHAUSTED": ErrorClass.OVERLOADED,
}
_HINTED = frozenset({ErrorClass.RATE_LIMITED, ErrorClass.DAILY_QUOTA, ErrorClass.OVERLOADED, ErrorClass.SERVER_ERROR})

_TOO_LARGE = re.compile(
    r"(?i)token count .{0,40}exceeds the maximum|payload size exceeds|exceeds the maximum number of tokens"
)
_KEY = re.compile(r"(?i)api key (?:not valid|expired|not found|was reported as leaked|has been reported as leaked)")
_NO_LIMIT = re.compile(r"\blimit: 0\b(?!\.)")
_SPEND = re.compile(
    r"(?i)prepay\w* credits? (?:are|is|have been) depleted|spend(?:ing)? cap|monthly spend(?:ing)? limit"
)
_PER_DAY = re.compile(r"(?i)\bper[ -]?day\b")
_CROWDED = re.compile(r"(?i)^resource exhausted[.,] please try again later")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    """What an error body says, whatever its shape."""

    message: str
    status: str | None = None
    """The name of a gRPC status."""
    code: int | None = None
    """The HTTP status that the body repeats."""
    reasons: tuple[str, ...] = ()
    quotas: tuple[str, ...] = ()
    """Ids of the quotas that were used up."""
    retry_delay: str | None = None


def error_of(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> CallError:
    """Why a response that is no success gave no answer; header names are lower case, `now` is epoch seconds."""
    value = error_value(body)
    report = _report(value) if isinstance(value, dict) else _Report(message=text_of(body))
    return _call_error(status, status, headers, report, now)


def embedded_error(status: int, headers: Mapping[str, str], error: object, *, now: float) -> CallError:
    """Why a response with a success status carries an error object; a status inside the object counts."""
    report = _report(error) if isinstance(error, dict) else _Report(message=error if isinstance(error, str) else "")
    return _call_error(status, report.code or status, headers, report, now)


def _call_error(status: int, counted: int, headers: Mapping[str, str], report: _Report, now: float) -> CallError:
    error_class = _class_of(counted, report)
    code = next(iter(report.reasons), None) or report.status
    return call_error(
        error_class,
        scope_of(error_class, headers.get("x-should-retry")),
        status=status,
        message=report.message,
        code=code,
        wait_s=_wait(error_class, headers, report, now),
    )


def _wait(error_class: ErrorClass, headers: Mapping[str, str], report: _Report, now: float) -> float | None:
    hint = wait_of(error_class, headers, now)
    if hint is not None or error_class not in _HINTED:
        return hint
    if report.retry_delay is not None:
        hint = duration_s(report.retry_delay, now)
    return hint_in_message(report.message, now) if hint is None else hint


def _class_of(status: int, report: _Report) -> ErrorClass:
    for reason in report.reasons:
        if reason in _REASONS and _REASONS[reason] is not ErrorClass.RATE_LIMITED:
            return _REASONS[reason]
    error_class = _STATUSES.get(report.status or "") or by_status(status)
    match error_class:
        case ErrorClass.RATE_LIMITED:
            return _exhausted(report)
        case ErrorClass.INVALID_REQUEST if _TOO_LARGE.search(report.message):
            return ErrorClass.TOO_LARGE
        case ErrorClass.INVALID_REQUEST | ErrorClass.PERMISSION if _KEY.search(report.message):
            return ErrorClass.AUTHENTICATION
        case _:
            return error_class


def _exhausted(report: _Report) -> ErrorClass:
    """Tell what is used up: an id of a quota tells, whatever the hint beside it says."""
    if _NO_LIMIT.search(report.message):
        return ErrorClass.NOT_FOUND  # the account has no share in this model at all
    if any("perday" in quota.lower() for quota in report.quotas):
        return ErrorClass.DAILY_QUOTA
    if report.quotas:
        return ErrorClass.RATE_LIMITED
    if _SPEND.search(report.message):
        return ErrorClass.SPEND
    if _PER_DAY.search(report.message):
        return ErrorClass.DAILY_QUOTA
    return ErrorClass.OVERLOADED if _CROWDED.match(report.message) else ErrorClass.RATE_LIMITED


def _report(value: dict[str, Any]) -> _Report:
    """Read an error object, out of its envelope where it has one."""
    inner = value.get("error")
    if isinstance(inner, str):
        return _Report(message=inner)
    error = inner if isinstance(inner, dict) else value
    message, status, code = error.get("message"), error.get("status"), error.get("code")
    details = error.get("details")
    known = [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []
    return _Report(
        message=message if isinstance(message, str) and message else shown(error),
        status=status.upper() if isinstance(status, str) and status else None,
        code=code if type(code) is int and 400 <= code <= 599 else None,
        reasons=tuple(reason for detail in known if isinstance(reason := detail.get("reason"), str)),
        quotas=tuple(_quotas(known)),
        retry_delay=next((delay for detail in known if isinstance(delay := detail.get("retryDelay"), str)), None),
    )


def _quotas(details: list[dict[str, Any]]) -> Iterator[str]:
    for detail in details:
        violations = detail.get("violations")
        for violation in violations if isinstance(violations, list) else ():
            quota = violation.get("quotaId") if isinstance(violation, dict) else None
            if isinstance(quota, str):
                yield quota
