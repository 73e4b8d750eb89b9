"""Errors and rate limit headers exactly as the OpenAI API sends them."""

import math

import orjson

from workers.provider_sim.call import Reply
from workers.provider_sim.config import RetryHint
from workers.provider_sim.fault_kinds import FaultKind
from workers.provider_sim.gate import Denial, Level, Limit

_UNITS = {
    Limit.REQUESTS: ("requests", "requests per min (RPM)"),
    Limit.TOKENS: ("tokens", "tokens per min (TPM)"),
    Limit.INPUT_TOKENS: ("tokens", "input tokens per min (ITPM)"),
    Limit.OUTPUT_TOKENS: ("tokens", "output tokens per min (OTPM)"),
    Limit.CONCURRENCY: ("requests", "concurrent requests"),
}
_MORE = "Visit https://platform.openai.com/account/rate-limits to learn more."
_HTML = b"<html>\r\n<head><title>%s</title></head>\r\n<body><center><h1>%s</h1></center></body>\r\n</html>\r\n"


def error(status: int, message: str, *, kind: str, code: str | None = None, param: str | None = None) -> Reply:
    """Make an error body: `kind` is the protocol's `type`."""
    content = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return Reply(status=status, body=orjson.dumps(content))


def invalid(message: str, *, code: str | None = None, param: str | None = None, status: int = 400) -> Reply:
    """Refuse a request that is wrong."""
    return error(status, message, kind="invalid_request_error", code=code, param=param)


def bad_key() -> Reply:
    """No key, an unknown key or a revoked one; the key itself is not repeated."""
    return invalid("Incorrect API key provided.", code="invalid_api_key", status=401)


def quota_exhausted() -> Reply:
    """Say that the account's money is spent; wears 429, but waiting does not help."""
    message = "You exceeded your current quota, please check your plan and billing details."
    return error(429, message, kind="insufficient_quota", code="insufficient_quota")


def no_such_model(model: str) -> Reply:
    """Say that the model is not served here."""
    message = f"The model `{model}` does not exist or you do not have access to it."
    return invalid(message, code="model_not_found", status=404)


def denied(denial: Denial, model: str, key: str, hint: RetryHint) -> Reply:
    """429 for a limit of the key, with as much of a hint as the key is configured to give."""
    kind, unit = _UNITS[denial.limit]
    place = f"for {model} in organization {key} on {unit}: Limit {denial.allowed:g}"
    if denial.never:
        message = (
            f"Request too large {place}, Requested {denial.requested:g}. Reduce the input or output tokens. {_MORE}"
        )
        return error(429, message, kind=kind, code="rate_limit_exceeded")
    message = f"Rate limit reached {place}, Used {denial.used:g}, Requested {denial.requested:g}. "
    return _limited(message, kind, denial.wait_s, hint)


def rate_limited(model: str, key: str, wait_s: float | None) -> Reply:
    """429 as a fault: no limit of the key was reached."""
    message = f"Rate limit reached for {model} in organization {key} on requests per min (RPM). "
    return _limited(message, "requests", wait_s, "none" if wait_s is None else "both")


def _limited(message: str, kind: str, wait_s: float | None, hint: RetryHint) -> Reply:
    if wait_s is None or hint == "none":
        return error(429, message + _MORE, kind=kind, code="rate_limit_exceeded")
    # Rounded up, or a client that waits as told would come too early.
    wait_ms = math.ceil(wait_s * 1000)
    headers = {}
    if hint in {"both", "retry-after"}:
        headers["retry-after"] = str(math.ceil(wait_s))
    if hint in {"both", "retry-after-ms"}:
        headers["retry-after-ms"] = str(wait_ms)
    message += f"Please try again in {go_duration(wait_ms / 1000)}. {_MORE}"
    reply = error(429, message, kind=kind, code="rate_limit_exceeded")
    return Reply(status=429, body=reply.body, headers=headers)


def server_fault(kind: FaultKind) -> Reply | None:
    """Return the reply of a fault in the family of 5xx, `None` for any other fault."""
    match kind:
        case FaultKind.SERVER_ERROR:
            message = "The server had an error while processing your request. Sorry about that!"
            return error(500, message, kind="server_error")
        case FaultKind.BAD_GATEWAY:
            page = _HTML % (b"502 Bad Gateway", b"502 Bad Gateway")
            return Reply(status=502, body=page, content_type="text/html")
        case FaultKind.UNAVAILABLE:
            body = b"upstream connect error or disconnect/reset before headers. reset reason: overflow"
            return Reply(status=503, body=body, content_type="text/plain")
        case FaultKind.OVERLOADED:
            message = "The server is currently overloaded with other requests. Sorry about that!"
            return error(503, message, kind="server_error", code="server_is_overloaded")
        case FaultKind.SITE_OVERLOADED:
            return error(529, "The site is overloaded.", kind="overloaded_error", code="overloaded")
        case _:
            return None


def malformed(kind: FaultKind, model: str) -> Reply | None:
    """Return the reply of a fault that says 200 and is no answer, `None` for any other fault."""
    match kind:
        case FaultKind.HTML_PAGE:
            page = _HTML % (b"Just a moment...", b"Checking your browser")
            return Reply(status=200, body=page, content_type="text/html")
        case FaultKind.ERROR_OBJECT:
            message = "The server had an error while processing your request. Sorry about that!"
            return Reply(status=200, body=error(500, message, kind="server_error").body)
        case FaultKind.EMPTY_BODY:
            return Reply(status=200, body=b"")
        case FaultKind.WRONG_SHAPE:
            return Reply(status=200, body=orjson.dumps({"object": "list", "model": model, "items": [None]}))
        case _:
            return None


def limit_headers(levels: list[Level]) -> dict[str, str]:
    """`x-ratelimit-*` for requests and combined tokens; separate token limits have no headers in this protocol."""
    headers = {}
    for level in levels:
        if level.limit in {Limit.REQUESTS, Limit.TOKENS}:
            headers[f"x-ratelimit-limit-{level.limit}"] = str(int(level.allowed))
            headers[f"x-ratelimit-remaining-{level.limit}"] = str(int(level.remaining))
            headers[f"x-ratelimit-reset-{level.limit}"] = go_duration(level.reset_s)
    return headers


def go_duration(seconds: float) -> str:
    """As Go prints a duration, to the millisecond: `0s`, `12ms`, `1.2s`, `6m0s`, `1h0m0.5s`."""
    millis = max(0, round(seconds * 1000))
    if 0 < millis < 1000:
        return f"{millis}ms"
    minutes, millis = divmod(millis, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{millis / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
