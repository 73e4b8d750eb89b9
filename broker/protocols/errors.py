"""What error responses of all protocols have in common: statuses, where to try again, and how they are told."""

from collections.abc import Mapping

from broker.domain.attempt import CallError, ErrorClass, Scope
from broker.limits.headers import retry_hint
from broker.protocols.exact_json import parsed, written
from broker.redaction import excerpt

MESSAGE_LIMIT = 500
# More of a body than any error needs; an oversized page is not parsed.
_PARSED_BYTES = 1 << 20
_SHOWN = 4096

_STATUSES: Mapping[int, ErrorClass] = {
    401: ErrorClass.AUTHENTICATION,
    402: ErrorClass.SPEND,
    403: ErrorClass.PERMISSION,
    404: ErrorClass.NOT_FOUND,
    408: ErrorClass.TIMEOUT,
    409: ErrorClass.SERVER_ERROR,
    412: ErrorClass.AUTHENTICATION,  # how a suspended account is reported
    413: ErrorClass.TOO_LARGE,
    429: ErrorClass.RATE_LIMITED,
    503: ErrorClass.OVERLOADED,
    504: ErrorClass.TIMEOUT,
    524: ErrorClass.TIMEOUT,  # a proxy that gave up waiting
    529: ErrorClass.OVERLOADED,
}

_SCOPES: Mapping[ErrorClass, Scope] = {
    ErrorClass.RATE_LIMITED: Scope.SAME,
    ErrorClass.RAMP: Scope.SAME,
    ErrorClass.DAILY_QUOTA: Scope.OTHER,
    ErrorClass.SPEND: Scope.OTHER,
    ErrorClass.AUTHENTICATION: Scope.OTHER,
    ErrorClass.PERMISSION: Scope.OTHER,
    ErrorClass.NOT_FOUND: Scope.OTHER,
    ErrorClass.TOO_LARGE: Scope.NEVER,
    ErrorClass.INVALID_REQUEST: Scope.NEVER,
    ErrorClass.CONTENT_FILTER: Scope.NEVER,
}


def by_status(status: int) -> ErrorClass:
    """The class of an error of which only the HTTP status is known."""
    known = _STATUSES.get(status)
    if known is not None:
        return known
    if status >= 500:
        return ErrorClass.SERVER_ERROR
    # A redirect, an interim status or a bare error in a success is neither an answer nor a refusal.
    return ErrorClass.INVALID_REQUEST if status >= 400 else ErrorClass.MALFORMED_ANSWER


def scope_of(error_class: ErrorClass, should_retry: str | None) -> Scope:
    """Where a job may be tried again; `should_retry` is the header `x-should-retry`, which the provider knows best."""
    scope = _SCOPES.get(error_class, Scope.SAME)
    if should_retry == "false" and scope is Scope.SAME:
        # A limit then is not about waiting, another fault is final.
        return Scope.OTHER if error_class in (ErrorClass.RATE_LIMITED, ErrorClass.RAMP) else Scope.NEVER
    if should_retry == "true" and error_class in (ErrorClass.INVALID_REQUEST, ErrorClass.NOT_FOUND):
        return Scope.SAME
    return scope


def error_value(body: bytes) -> object:
    """An error body as JSON, out of an array of one; `None` where it is no JSON, or larger than any error needs."""
    try:
        value = parsed(body) if len(body) <= _PARSED_BYTES else None
    except ValueError:
        return None
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def text_of(body: bytes) -> str:
    """The beginning of a body that is no JSON (proxies and load balancers answer as they like)."""
    return body[:_SHOWN].decode(errors="replace")


def shown(value: object) -> str:
    """A JSON value as text, cut to what can be read."""
    try:
        return written(value)[:_SHOWN].decode(errors="replace")
    except ValueError:
        return "an error object that cannot be shown"


def call_error(
    error_class: ErrorClass,
    scope: Scope,
    *,
    status: int,
    message: str,
    code: str | None,
    wait_s: float | None,
) -> CallError:
    """An error in words that may be kept and shown."""
    return CallError(
        error_class=error_class,
        scope=scope,
        message=excerpt(message, MESSAGE_LIMIT) or f"HTTP {status} without a message",
        status=status,
        code=None if code is None else excerpt(code, 100),
        wait_s=wait_s,
    )


def wait_of(error_class: ErrorClass, headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait as the headers say; waiting does not fill a wallet, whatever they say."""
    return None if error_class is ErrorClass.SPEND else retry_hint(headers, now)
