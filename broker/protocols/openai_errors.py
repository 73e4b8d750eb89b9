"""Error responses of the OpenAI protocol: what went wrong, and where the job may be tried again.

Code fields decide first, the HTTP status second, and the message text only where providers say it nowhere else:
context length, a request larger than the limit, limits per day, and what self-hosted servers call a fault of their own
though the request is to blame. A status alone is never enough: an empty wallet wears 429 as well.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from broker.domain.attempt import CallError, ErrorClass, Scope
from broker.limits.headers import hint_in_message
from broker.protocols.errors import by_status, call_error, error_value, scope_of, shown, text_of, wait_of

REQUEST_ID_HEADERS = ("x-request-id", "request-id", "apim-request-id")
"""Response headers that may carry the provider's own id of the call, the best first."""

_CODES: Mapping[str, ErrorClass] = {
    code: error_class
    for error_class, codes in {
        ErrorClass.SPEND: (
            "insufficient_quota credit_balance_exhausted billing_hard_limit_reached billing_not_active billing_error "
            "organization_usage_limit_exceeded enforced_spend_limit_reached contract_spend_limit_reached"
        ),
        ErrorClass.RAMP: "slow_down ramp_limit_exceeded",
        ErrorClass.RATE_LIMITED: (
            "rate_limit_exceeded rate_limit_error too_many_requests dynamic_request_limited dynamic_token_limited"
        ),
        ErrorClass.TOO_LARGE: (
            "context_length_exceeded model_context_length_exceeded exceed_context_size_error "
            "request_too_large payload_too_large"
        ),
        ErrorClass.CONTENT_FILTER: (
            "content_filter content_policy_violation responsibleaipolicyviolation moderation_blocked invalid_prompt"
        ),
        ErrorClass.NOT_FOUND: (
            "model_not_found deploymentnotfound not_found_error notfounderror not_supported_error "
            "invalid_model model_not_supported"  # Mistral, Hugging Face
        ),
        ErrorClass.AUTHENTICATION: (
            "invalid_api_key incorrect_api_key invalid_authentication authentication_error account_deactivated"
        ),
        ErrorClass.PERMISSION: "permission_denied permission_error unsupported_country_region_territory",
        ErrorClass.OVERLOADED: (
            "server_is_overloaded overloaded_error engine_overloaded engine_overloaded_error service_unavailable"
        ),
        # `generation` comes with a 424
        ErrorClass.SERVER_ERROR: "server_error internal_error internal_server_error api_error generation",
        ErrorClass.TIMEOUT: "timeout timeout_error request_timeout",
    }.items()
    for code in codes.split()
}

_HINTED = frozenset({ErrorClass.RATE_LIMITED, ErrorClass.RAMP, ErrorClass.DAILY_QUOTA, ErrorClass.OVERLOADED})

_CONTEXT = re.compile(
    r"(?i)maximum context length|context[ _]length|context window|context size|prompt is too long|input is too long|"
    r"maximum model length|is too large to process|`?inputs`? tokens \+ `?max_new_tokens`? must be <=|"
    r"`?inputs`? must have less than \d{1,9} tokens"
)
_FAULT_OF_THE_REQUEST = re.compile(
    r"(?i)is too large to process|(?:image|audio|video) input is not supported|"
    r"\A\d{1,4} validation errors?:\s.{0,200}'loc': \('body'",
    re.DOTALL,
)
_PER_DAY = re.compile(r"(?i)\bper[ -]day\b|\((?:RPD|TPD)\)")
_LARGER_THAN_LIMIT = re.compile(r"(?i)\blimit:? (\d{1,12})\b.{0,80}?\brequested:? (\d{1,12})\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    """What an error body says, whatever its shape."""

    message: str
    code: str | None = None
    type: str | None = None
    status: int | None = None
    """An HTTP status that the provider put in place of a code."""


def error_of(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> CallError:
    """Why a response that is no success gave no answer; header names are lower case, `now` is epoch seconds."""
    return _call_error(status, headers, _report(body), now=now)


def embedded_error(status: int, headers: Mapping[str, str], error: object, *, now: float) -> CallError:
    """Why a response with a success status carries an error object; a status inside the object counts."""
    report = _report_of(error)
    return _call_error(status, headers, report, now=now, inner_status=report.status)


def _call_error(
    status: int, headers: Mapping[str, str], report: _Report, *, now: float, inner_status: int | None = None
) -> CallError:
    error_class = _class_of(inner_status or status, report)
    return call_error(
        error_class,
        _scope(error_class, report, headers.get("x-should-retry")),
        status=status,
        message=report.message,
        code=report.code or report.type,
        wait_s=_hint(error_class, headers, report.message, now),
    )


def _hint(error_class: ErrorClass, headers: Mapping[str, str], message: str, now: float) -> float | None:
    hint = wait_of(error_class, headers, now)
    return hint_in_message(message, now) if hint is None and error_class in _HINTED else hint


def _class_of(status: int, report: _Report) -> ErrorClass:
    named = [_named(name) for name in (report.code, report.type)]
    if ErrorClass.SPEND in named:  # beats a rate limit's name in the other field
        return ErrorClass.SPEND
    error_class = named[0] or named[1] or by_status(status)
    if error_class is ErrorClass.RATE_LIMITED:
        if _larger_than_limit(report.message):
            return ErrorClass.TOO_LARGE
        if _PER_DAY.search(report.message):
            return ErrorClass.DAILY_QUOTA
    if error_class is ErrorClass.SERVER_ERROR and by_status(status) is ErrorClass.OVERLOADED:
        return ErrorClass.OVERLOADED  # the status says more than a type that fits every fault
    if error_class is ErrorClass.SERVER_ERROR and _FAULT_OF_THE_REQUEST.search(report.message):
        error_class = ErrorClass.INVALID_REQUEST
    if error_class is ErrorClass.INVALID_REQUEST and _CONTEXT.search(report.message):
        return ErrorClass.TOO_LARGE
    return error_class


def _named(name: str | None) -> ErrorClass | None:
    if name is None:
        return None
    name = name.lower()
    return ErrorClass.SPEND if name.endswith("_spend_limit_exceeded") else _CODES.get(name)


def _larger_than_limit(message: str) -> bool:
    """Whether this one request is more than the whole limit, so that waiting cannot help."""
    found = _LARGER_THAN_LIMIT.search(message[:4096])
    return found is not None and int(found[2]) > int(found[1])


def _scope(error_class: ErrorClass, report: _Report, should_retry: str | None) -> Scope:
    if error_class is ErrorClass.TOO_LARGE and _larger_than_limit(report.message):
        return Scope.OTHER  # too large for this account's limit, not for the model
    return scope_of(error_class, should_retry)


def _report(body: bytes) -> _Report:
    """Read an error body of any shape, also one that is no JSON."""
    value = error_value(body)
    if isinstance(value, dict):
        inner = value.get("error")
        return _report_of(inner if isinstance(inner, dict) else value)
    return _Report(message=text_of(body))


def _report_of(error: object) -> _Report:
    """Read an error object: nested `{"error": {...}}`, flat, or a bare text; codes may be numbers."""
    if not isinstance(error, dict):
        return _Report(message=error if isinstance(error, str) else shown(error))
    message = next((error[key] for key in ("message", "error", "detail") if error.get(key)), error)
    code = error.get("code")
    inner = error.get("innererror")
    if code is None and isinstance(inner, dict):
        code = inner.get("code")
    kind = error.get("type") or error.get("error_type")
    number = code if type(code) is int else int(code) if isinstance(code, str) and _is_status(code) else None
    return _Report(
        message=message if isinstance(message, str) else shown(message),
        code=str(code) if isinstance(code, (str, int)) and not isinstance(code, bool) and code != "" else None,
        type=kind if isinstance(kind, str) and kind else None,
        status=number if number is not None and 400 <= number <= 599 else None,
    )


def _is_status(code: str) -> bool:
    return len(code) == 3 and code.isascii() and code.isdigit()


_WRITTEN: Mapping[ErrorClass, tuple[int, str, str | None]] = {
    ErrorClass.RATE_LIMITED: (429, "requests", "rate_limit_exceeded"),
    ErrorClass.RAMP: (429, "requests", "slow_down"),
    ErrorClass.DAILY_QUOTA: (429, "requests", "rate_limit_exceeded"),
    ErrorClass.SPEND: (429, "insufficient_quota", "insufficient_quota"),
    ErrorClass.AUTHENTICATION: (401, "invalid_request_error", "invalid_api_key"),
    ErrorClass.PERMISSION: (403, "invalid_request_error", "permission_denied"),
    ErrorClass.NOT_FOUND: (404, "invalid_request_error", "model_not_found"),
    ErrorClass.OVERLOADED: (503, "server_error", "server_is_overloaded"),
    ErrorClass.TIMEOUT: (504, "server_error", "timeout"),
    ErrorClass.TOO_LARGE: (400, "invalid_request_error", "context_length_exceeded"),
    ErrorClass.INVALID_REQUEST: (400, "invalid_request_error", None),
    ErrorClass.UNTRANSLATABLE: (400, "invalid_request_error", "unsupported_parameter"),
    ErrorClass.CONTENT_FILTER: (400, "invalid_request_error", "content_filter"),
}
"""HTTP status, type and code of each class; all others are faults of a server."""


def write_error(error: CallError) -> tuple[int, dict[str, object]]:
    """Write an error as OpenAI does: its HTTP status, and the body."""
    status, kind, code = _WRITTEN.get(error.error_class, (500, "server_error", "server_error"))
    return status, {"error": {"message": error.message, "type": kind, "param": None, "code": code}}
