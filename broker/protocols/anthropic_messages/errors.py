"""Error responses of the messages dialect: what went wrong, and where the job may be tried again.

The code in the error's details decides first, its type second, the HTTP status third, and the message where Anthropic
says it nowhere else. `invalid_request_error` and `api_error` say no more than a status does.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from broker.domain.attempt import CallError, ErrorClass
from broker.limits.headers import hint_in_message
from broker.protocols.errors import by_status, call_error, error_value, scope_of, shown, text_of, wait_of

_CODES: Mapping[str, ErrorClass] = {
    code: error_class
    for error_class, codes in {
        ErrorClass.SPEND: (
            "enforced_spend_limit_reached contract_spend_limit_reached linked_organization_spend_limit_reached "
            "linked_organization_billing_unavailable"
        ),
        ErrorClass.RAMP: "ramp_limit_exceeded",
        ErrorClass.AUTHENTICATION: "organization_on_hold claude_code_key_creator_not_member",
        ErrorClass.PERMISSION: (
            "organization_type_not_supported parent_organization_required organization_not_enrolled_in_beta "
            "user_profile_billing_not_authorized user_profile_not_billable user_profile_required "
            "user_profile_not_found sandbox_egress_restricted cmek_key_disabled cmek_key_network_blocked"
        ),
        ErrorClass.OVERLOADED: "cmek_context_unavailable cmek_key_unreachable compaction_unavailable",
        ErrorClass.TOO_LARGE: "request_body_too_large_after_decoding",
        ErrorClass.TIMEOUT: "request_body_timeout",
    }.items()
    for code in codes.split()
}
_TYPES: Mapping[str, ErrorClass] = {
    "authentication_error": ErrorClass.AUTHENTICATION,
    "permission_error": ErrorClass.PERMISSION,
    "not_found_error": ErrorClass.NOT_FOUND,
    "request_too_large": ErrorClass.TOO_LARGE,
    "exceed_context_size_error": ErrorClass.TOO_LARGE,  # llama.cpp's server
    "rate_limit_error": ErrorClass.RATE_LIMITED,
    "billing_error": ErrorClass.SPEND,
    "timeout_error": ErrorClass.TIMEOUT,
    "overloaded_error": ErrorClass.OVERLOADED,
    "conflict_error": ErrorClass.SERVER_ERROR,
}
_VAGUE: Mapping[str, ErrorClass] = {
    "invalid_request_error": ErrorClass.INVALID_REQUEST,
    "api_error": ErrorClass.SERVER_ERROR,
}
_HINTED = frozenset({ErrorClass.RATE_LIMITED, ErrorClass.RAMP, ErrorClass.OVERLOADED})

# What stands first is Anthropic's own; further on a message may quote the producer.
_SPENT = re.compile(
    r"(?i)your credit balance is too low|you have reached your specified (?:workspace )?API usage limits"
)
_TOO_LONG = re.compile(
    r"(?i)prompt is too long|input is too long|context (?:limit|window)|"
    r"exceeds? the maximum allowed number of (?:input )?tokens"
)
_DISABLED = re.compile(r"(?i)(?:this|your) organization has been disabled")
_FILTERED = re.compile(r"(?i)output blocked by content filtering")
_PER_DAY = re.compile(r"(?i)\bper day\b|\bdaily rate limit\b")
_RAMP = re.compile(r"(?i)\busage increase rate\b|\bacceleration limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    """What an error body says."""

    message: str
    type: str | None = None
    code: str | None = None


def error_of(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> CallError:
    """Why a response that is no success gave no answer."""
    value = error_value(body)
    if not isinstance(value, dict):
        return _call_error(status, headers, _Report(message=text_of(body)), now=now)
    inner = value.get("error")
    return _call_error(status, headers, _report(value if inner is None else inner), now=now)


def embedded_error(status: int, headers: Mapping[str, str], error: object, *, now: float) -> CallError:
    """Why a response with a success status carries an error object."""
    return _call_error(status, headers, _report(error), now=now)


def _report(error: object) -> _Report:
    if not isinstance(error, dict):
        return _Report(message=error if isinstance(error, str) else shown(error))
    message, kind, details = error.get("message"), error.get("type"), error.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    return _Report(
        message=message if isinstance(message, str) and message else shown(error),
        type=kind if isinstance(kind, str) and kind else None,
        code=code if isinstance(code, str) and code else None,
    )


def _call_error(status: int, headers: Mapping[str, str], report: _Report, *, now: float) -> CallError:
    error_class = _class_of(status, report)
    wait_s = wait_of(error_class, headers, now)
    if wait_s is None and error_class in _HINTED:
        wait_s = hint_in_message(report.message, now)
    return call_error(
        error_class,
        scope_of(error_class, headers.get("x-should-retry")),
        status=status,
        message=report.message,
        code=report.code or report.type,
        wait_s=wait_s,
    )


def _class_of(status: int, report: _Report) -> ErrorClass:
    by_code = _CODES.get(report.code or "")
    if by_code is not None:
        return by_code
    error_class = _TYPES.get(report.type or "")
    if error_class is None:
        vague = _VAGUE.get(report.type or "")
        error_class = vague if vague is not None and status < 400 else by_status(status)
    match error_class:
        case ErrorClass.INVALID_REQUEST:
            return _by_message(report.message)
        case ErrorClass.RATE_LIMITED if _SPENT.match(report.message):
            return ErrorClass.SPEND
        case ErrorClass.RATE_LIMITED if _PER_DAY.search(report.message):
            return ErrorClass.DAILY_QUOTA
        case ErrorClass.RATE_LIMITED if _RAMP.search(report.message):
            return ErrorClass.RAMP
        case _:
            return error_class


def _by_message(message: str) -> ErrorClass:
    """What a 400 means that says so in words only."""
    if _SPENT.match(message):
        return ErrorClass.SPEND
    if _TOO_LONG.search(message):
        return ErrorClass.TOO_LARGE
    if _DISABLED.match(message):
        return ErrorClass.AUTHENTICATION
    return ErrorClass.CONTENT_FILTER if _FILTERED.match(message) else ErrorClass.INVALID_REQUEST


_BAD_REQUEST = (400, "invalid_request_error")
_UNPAID = (402, "billing_error")
_LIMITED = (429, "rate_limit_error")
_OURS = (500, "api_error")
_RENDERED: Mapping[ErrorClass, tuple[int, str]] = {
    ErrorClass.INVALID_REQUEST: _BAD_REQUEST,
    ErrorClass.UNTRANSLATABLE: _BAD_REQUEST,
    ErrorClass.CONTENT_FILTER: _BAD_REQUEST,
    ErrorClass.AUTHENTICATION: (401, "authentication_error"),
    ErrorClass.SPEND: _UNPAID,
    ErrorClass.DAILY_QUOTA: _UNPAID,
    ErrorClass.PERMISSION: (403, "permission_error"),
    ErrorClass.NOT_FOUND: (404, "not_found_error"),
    ErrorClass.TOO_LARGE: (413, "request_too_large"),
    ErrorClass.RATE_LIMITED: _LIMITED,
    ErrorClass.RAMP: _LIMITED,
    ErrorClass.TIMEOUT: (504, "timeout_error"),
    ErrorClass.OVERLOADED: (529, "overloaded_error"),
    ErrorClass.SERVER_ERROR: _OURS,
    ErrorClass.OUTAGE: _OURS,
    ErrorClass.CONNECTION: _OURS,
    ErrorClass.OUTCOME_UNKNOWN: _OURS,
    ErrorClass.MALFORMED_ANSWER: _OURS,
    ErrorClass.NEVER_SENT: _OURS,
    ErrorClass.LOST: _OURS,
    ErrorClass.ABORTED: _OURS,
    ErrorClass.WORKER_CRASH: _OURS,
}


def write_error(error: CallError) -> tuple[int, dict[str, object]]:
    """Write an error as Anthropic's own API would."""
    status, kind = _RENDERED.get(error.error_class, _OURS)
    inner: dict[str, object] = {"type": kind, "message": error.message}
    if error.error_class is ErrorClass.RAMP:
        inner["details"] = {"error_code": "ramp_limit_exceeded"}
    return status, {"type": "error", "error": inner, "request_id": None}
