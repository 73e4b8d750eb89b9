"""Writes errors as Gemini would."""

from broker.domain.attempt import CallError, ErrorClass

_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
_RETRY = "type.googleapis.com/google.rpc.RetryInfo"
_STATUSES = {
    **dict.fromkeys(
        (ErrorClass.RATE_LIMITED, ErrorClass.RAMP, ErrorClass.DAILY_QUOTA, ErrorClass.SPEND),
        (429, "RESOURCE_EXHAUSTED"),
    ),
    **dict.fromkeys(
        (
            ErrorClass.INVALID_REQUEST,
            ErrorClass.UNTRANSLATABLE,
            ErrorClass.TOO_LARGE,
            ErrorClass.CONTENT_FILTER,
        ),
        (400, "INVALID_ARGUMENT"),
    ),
    ErrorClass.AUTHENTICATION: (401, "UNAUTHENTICATED"),
    ErrorClass.PERMISSION: (403, "PERMISSION_DENIED"),
    ErrorClass.NOT_FOUND: (404, "NOT_FOUND"),
    **dict.fromkeys((ErrorClass.OVERLOADED, ErrorClass.CONNECTION, ErrorClass.OUTAGE), (503, "UNAVAILABLE")),
    ErrorClass.TIMEOUT: (504, "DEADLINE_EXCEEDED"),
}
_ELSE = (500, "INTERNAL")


def write_error(error: CallError) -> tuple[int, dict[str, object]]:
    """The HTTP status and the body that Gemini would have sent."""
    status, name = _STATUSES.get(error.error_class, _ELSE)
    details: list[dict[str, object]] = [
        {"@type": _INFO, "reason": error.error_class.value.upper(), "domain": "penstock"}
    ]
    if error.wait_s is not None and status in (429, 503):
        details.append({"@type": _RETRY, "retryDelay": f"{error.wait_s:.3f}s"})
    return status, {"error": {"code": status, "message": error.message, "status": name, "details": details}}
