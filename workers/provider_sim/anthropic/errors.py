"""Errors exactly as the Anthropic API sends them; the id of the request is added when one is sent."""

import math
from collections.abc import Mapping

import orjson
from pydantic import JsonValue

from workers.provider_sim.call import Refused, Reply
from workers.provider_sim.config import ExhaustedForm, KeyConfig
from workers.provider_sim.gate import Denial, Limit

_UNITS = {
    Limit.REQUESTS: "requests per minute",
    Limit.TOKENS: "tokens per minute",
    Limit.INPUT_TOKENS: "input tokens per minute",
    Limit.OUTPUT_TOKENS: "output tokens per minute",
    Limit.CONCURRENCY: "concurrent connections",
}
_SPENT = (
    "You have reached your specified workspace API usage limits. You will regain access on the first day of next month."
)
_CREDIT = (
    "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase "
    "credits."
)


def error(
    status: int,
    kind: str,
    message: str,
    *,
    details: JsonValue = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Make an error envelope."""
    content: dict[str, JsonValue] = {"type": kind, "message": message}
    if details is not None:
        content["details"] = details
    return Reply(status=status, body=orjson.dumps({"type": "error", "error": content}), headers=headers or {})


def invalid(message: str) -> Reply:
    """Refuse a request that is wrong."""
    return error(400, "invalid_request_error", message)


def refused(message: str) -> Refused:
    """Return the refusal of a wrong request, to be raised."""
    return Refused("invalid_request", invalid(message))


def not_json() -> Reply:
    """400: the body is no JSON object."""
    return invalid("The request body is not valid JSON.")


def no_model() -> Reply:
    """400: the body names no model."""
    return invalid("model: Field required")


def bad_key(*, is_given: bool) -> Reply:
    """No key, an unknown key or a revoked one; the key itself is not repeated."""
    message = "invalid x-api-key" if is_given else "x-api-key header is required"
    return error(401, "authentication_error", message)


def forbidden() -> Reply:
    """403: the key may not do this any more."""
    return error(403, "permission_error", "Your API key does not have permission to use the specified resource.")


def too_large() -> Reply:
    """413: the body is larger than anyone reads."""
    return error(413, "request_too_large", "Request exceeds the maximum size")


def no_such_model(model: str) -> Reply:
    """404."""
    return error(404, "not_found_error", f"model: {model}")


def no_such_path(method: str, path: str) -> Reply:  # noqa: ARG001 - the real one names neither
    """404."""
    return error(404, "not_found_error", "Not Found")


def wrong_method(method: str, path: str) -> Reply:  # noqa: ARG001 - the real one names neither
    """405."""
    return error(405, "invalid_request_error", "Method Not Allowed")


def exhausted(form: ExhaustedForm, model: str) -> Reply:  # noqa: ARG001 - money is the account's, not the model's
    """Say that the account's money is spent: as a 429 that names no wait, or as a 400."""
    if form == "credit_balance":
        return invalid(_CREDIT)
    return error(429, "rate_limit_error", _SPENT, details={"error_code": "enforced_spend_limit_reached"})


def denied(denial: Denial, model: str, key: KeyConfig) -> Reply:
    """429 for a limit of the key; one that never fits is told as any other, without a wait."""
    message = (
        f"This request would exceed your organization's rate limit of {denial.allowed:g} {_UNITS[denial.limit]} "
        f"(org: {key.name}, model: {model}). For details, refer to: https://docs.claude.com/en/api/rate-limits."
    )
    return _limited(message, denial.wait_s if key.retry_hint in {"both", "retry-after"} else None)


def rate_limited(model: str, key: KeyConfig, wait_s: float | None) -> Reply:
    """429 as a fault: no limit of the key was reached."""
    message = f"This request would exceed your organization's rate limit (org: {key.name}, model: {model})."
    return _limited(message, wait_s)


def _limited(message: str, wait_s: float | None) -> Reply:
    # Rounded up, or a client that waits as told would come too early.
    headers = {} if wait_s is None else {"retry-after": str(math.ceil(wait_s))}
    return error(429, "rate_limit_error", message, headers=headers)


def context_exceeded(tokens: int, maximum: int, window: int) -> Reply | None:
    """Say that the request is longer than the model's window; `None`: it fits."""
    if tokens > window:
        return invalid(f"prompt is too long: {tokens} tokens > {window} maximum")
    if tokens + maximum <= window:
        return None
    return invalid(
        f"input length and `max_tokens` exceed context limit: {tokens} + {maximum} > {window}, decrease input length "
        "or `max_tokens` and try again"
    )


def server_error() -> Reply:
    """500."""
    return error(500, "api_error", "Internal server error")


def overloaded() -> Reply:
    """529: the model is overloaded."""
    return error(529, "overloaded_error", "Overloaded")


def site_overloaded() -> Reply:
    """529: everything is overloaded, which is told in the same words."""
    return overloaded()


def wrong_shape(model: str) -> Reply:
    """200 with JSON that is no answer."""
    return Reply(status=200, body=orjson.dumps({"type": "message", "role": "assistant", "model": model}))
