"""Errors exactly as the OpenAI API sends them."""

import math

import orjson

from workers.provider_sim.call import Refused, Reply
from workers.provider_sim.config import ExhaustedForm, KeyConfig, RetryHint
from workers.provider_sim.gate import Denial, Limit
from workers.provider_sim.openai.headers import go_duration

_UNITS = {
    Limit.REQUESTS: ("requests", "requests per min (RPM)"),
    Limit.TOKENS: ("tokens", "tokens per min (TPM)"),
    Limit.INPUT_TOKENS: ("tokens", "input tokens per min (ITPM)"),
    Limit.OUTPUT_TOKENS: ("tokens", "output tokens per min (OTPM)"),
    Limit.CONCURRENCY: ("requests", "concurrent requests"),
}
_MORE = "Visit https://platform.openai.com/account/rate-limits to learn more."
_HINT = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library "
    "correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)"
)
SERVER_ERROR = "The server had an error while processing your request. Sorry about that!"


def error(status: int, message: str, *, kind: str, code: str | None = None, param: str | None = None) -> Reply:
    """Make an error body: `kind` is the protocol's `type`."""
    content = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return Reply(status=status, body=orjson.dumps(content))


def invalid(message: str, *, code: str | None = None, param: str | None = None, status: int = 400) -> Reply:
    """Refuse a request that is wrong."""
    return error(status, message, kind="invalid_request_error", code=code, param=param)


def refused(message: str, *, param: str | None = None, code: str | None = None) -> Refused:
    """Return the refusal of a wrong request, to be raised."""
    return Refused("invalid_request", invalid(message, param=param, code=code))


def invalid_value(param: str, why: str) -> Refused:
    """Return the refusal of a wrong parameter, to be raised."""
    return refused(f"Invalid value for '{param}': {why}.", param=param, code="invalid_value")


def not_json() -> Reply:
    """400: the body is no JSON object."""
    return invalid(_HINT)


def no_model() -> Reply:
    """400: the body names no model."""
    return invalid("you must provide a model parameter", param="model")


def bad_key(*, is_given: bool) -> Reply:
    """No key, an unknown key or a revoked one; the key itself is not repeated."""
    message = "Incorrect API key provided." if is_given else "You didn't provide an API key."
    return invalid(message, code="invalid_api_key", status=401)


def forbidden() -> Reply:
    """403: the key may not do this any more."""
    return error(403, "You have insufficient permissions for this operation.", kind="invalid_request_error")


def too_large() -> Reply:
    """413: the body is larger than anyone reads."""
    return invalid("Request body is too large.", status=413)


def no_such_model(model: str) -> Reply:
    """Say that the model is not served here."""
    message = f"The model `{model}` does not exist or you do not have access to it."
    return invalid(message, code="model_not_found", status=404)


def no_such_path(method: str, path: str) -> Reply:
    """404."""
    return invalid(f"Invalid URL ({method} {path})", status=404)


def wrong_method(method: str, path: str) -> Reply:
    """405."""
    return invalid(f"Not allowed to {method} on {path}", code="method_not_supported", status=405)


def exhausted(form: ExhaustedForm, model: str) -> Reply:  # noqa: ARG001 - money is the account's, not the model's
    """Say that the account's money is spent; wears 429, but waiting does not help."""
    message = "You exceeded your current quota, please check your plan and billing details."
    code = "insufficient_quota" if form == "spend_limit" else "credit_balance_exhausted"
    return error(429, message, kind="insufficient_quota", code=code)


def denied(denial: Denial, model: str, key: KeyConfig) -> Reply:
    """429 for a limit of the key, with as much of a hint as the key is configured to give."""
    kind, unit = _UNITS[denial.limit]
    place = f"for {model} in organization {key.name} on {unit}: Limit {denial.allowed:g}"
    if denial.never:
        message = (
            f"Request too large {place}, Requested {denial.requested:g}. Reduce the input or output tokens. {_MORE}"
        )
        return error(429, message, kind=kind, code="rate_limit_exceeded")
    message = f"Rate limit reached {place}, Used {denial.used:g}, Requested {denial.requested:g}. "
    return _limited(message, kind, denial.wait_s, key.retry_hint)


def rate_limited(model: str, key: KeyConfig, wait_s: float | None) -> Reply:
    """429 as a fault: no limit of the key was reached."""
    message = f"Rate limit reached for {model} in organization {key.name} on requests per min (RPM). "
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


def context_exceeded(tokens: int, maximum: int, window: int) -> Reply | None:
    """Say that the request is longer than the model's window; `None`: it fits."""
    if tokens + maximum <= window:
        return None
    message = (
        f"This model's maximum context length is {window} tokens. However, you requested {tokens + maximum} tokens "
        f"({tokens} in the messages, {maximum} in the completion). Please reduce the length of the messages or "
        "completion."
    )
    return invalid(message, code="context_length_exceeded", param="messages")


def server_error() -> Reply:
    """500."""
    return error(500, SERVER_ERROR, kind="server_error")


def overloaded() -> Reply:
    """503: the model is overloaded."""
    message = "The server is currently overloaded with other requests. Sorry about that!"
    return error(503, message, kind="server_error", code="server_is_overloaded")


def site_overloaded() -> Reply:
    """529: everything is overloaded."""
    return error(529, "The site is overloaded.", kind="overloaded_error", code="overloaded")


def wrong_shape(model: str) -> Reply:
    """200 with JSON that is no answer."""
    return Reply(status=200, body=orjson.dumps({"object": "list", "model": model, "items": [None]}))
