"""Errors exactly as the Gemini API sends them: what to do about them stands in their details."""

import math
from collections.abc import Sequence

import orjson
from pydantic import JsonValue

from workers.provider_sim.call import Refused, Reply
from workers.provider_sim.config import ExhaustedForm, KeyConfig
from workers.provider_sim.gate import Denial, Limit

_TYPE = "type.googleapis.com/google.rpc."
_SERVICE = "generativelanguage.googleapis.com"
_QUOTAS = {
    Limit.REQUESTS: ("generate_content_paid_tier_requests", "GenerateRequestsPerMinutePerProjectPerModel"),
    Limit.TOKENS: ("generate_content_paid_tier_token_count", "GenerateContentTokensPerMinutePerProjectPerModel"),
    Limit.INPUT_TOKENS: (
        "generate_content_paid_tier_input_token_count",
        "GenerateContentInputTokensPerMinutePerProjectPerModel",
    ),
    Limit.OUTPUT_TOKENS: (
        "generate_content_paid_tier_output_token_count",
        "GenerateContentOutputTokensPerMinutePerProjectPerModel",
    ),
    Limit.CONCURRENCY: ("generate_content_paid_tier_concurrent_requests", "GenerateConcurrentRequestsPerProject"),
}
_DAILY = "GenerateRequestsPerDayPerProjectPerModel"
_QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "head to: https://ai.google.dev/gemini-api/docs/rate-limits."
)
_DEPLETED = "Your prepayment credits are depleted. Please go to AI Studio to manage your project and billing."


def error(code: int, status: str, message: str, details: Sequence[JsonValue] = ()) -> Reply:
    """Make an error body."""
    content: dict[str, JsonValue] = {"code": code, "message": message, "status": status}
    if details:
        content["details"] = list(details)
    return Reply(status=code, body=orjson.dumps({"error": content}), content_type="application/json")


def invalid(message: str) -> Reply:
    """Refuse a request that is wrong."""
    return error(400, "INVALID_ARGUMENT", message)


def refused(message: str) -> Refused:
    """Return the refusal of a wrong request, to be raised."""
    return Refused("invalid_request", invalid(message))


def not_json() -> Reply:
    """400: the body is no JSON object."""
    return invalid("Invalid JSON payload received. Expected a value.")


def no_model() -> Reply:
    """400: the path names no model."""
    return invalid("* GenerateContentRequest.model: unexpected model name format")


def bad_key(*, is_given: bool) -> Reply:
    """No key: 403; an unknown key or a revoked one: 400. The key itself is not repeated."""
    if not is_given:
        message = (
            "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or "
            "other form of API consumer identity to call this API."
        )
        return error(403, "PERMISSION_DENIED", message)
    reason: JsonValue = {
        "@type": f"{_TYPE}ErrorInfo",
        "reason": "API_KEY_INVALID",
        "domain": "googleapis.com",
        "metadata": {"service": _SERVICE},
    }
    message = "API key not valid. Please pass a valid API key."
    return error(400, "INVALID_ARGUMENT", message, [reason, _localized(message)])


def forbidden() -> Reply:
    """403: the key may not do this any more."""
    return error(403, "PERMISSION_DENIED", "Your project has been denied access. Please contact support.")


def too_large() -> Reply:
    """400: the body is larger than anyone reads."""
    return invalid("Request payload size exceeds the limit: 67108864 bytes.")


def no_such_model(model: str) -> Reply:
    """404."""
    message = (
        f"models/{model} is not found for API version v1beta, or is not supported for generateContent. Call ListModels "
        "to see the list of available models and their supported methods."
    )
    return error(404, "NOT_FOUND", message)


def no_such_path(method: str, path: str) -> Reply:  # noqa: ARG001 - the real one answers with a page that names neither
    """404."""
    return error(404, "NOT_FOUND", "Requested entity was not found.")


def wrong_method(method: str, path: str) -> Reply:
    """404: to Google a path with another method is another path."""
    return no_such_path(method, path)


def exhausted(form: ExhaustedForm, model: str) -> Reply:
    """Say that the account may not go on today, or that its credit is gone; both wear 429."""
    if form == "credit_balance":
        return error(429, "RESOURCE_EXHAUSTED", _DEPLETED)
    metric = _QUOTAS[Limit.REQUESTS][0]
    # The real one names a short wait here too, which is not to be believed.
    return error(429, "RESOURCE_EXHAUSTED", _QUOTA, [_quota(metric, _DAILY, 1000, model), _help(), _retry(36.0)])


def denied(denial: Denial, model: str, key: KeyConfig) -> Reply:
    """429 for a limit of the key, with a hint in the details if the key is configured to give it there."""
    metric, quota = _QUOTAS[denial.limit]
    wait_s = denial.wait_s if key.retry_hint in {"both", "body"} else None
    return _limited(_quota(metric, quota, denial.allowed, model), wait_s)


def rate_limited(model: str, key: KeyConfig, wait_s: float | None) -> Reply:
    """429 as a fault: no limit of the key was reached."""
    metric, quota = _QUOTAS[Limit.REQUESTS]
    return _limited(_quota(metric, quota, key.requests_per_minute or 1000, model), wait_s)


def _limited(quota: JsonValue, wait_s: float | None) -> Reply:
    details = [quota, _help()]
    message = _QUOTA
    if wait_s is not None:
        # Rounded up, or a client that waits as told would come too early.
        rounded = math.ceil(wait_s * 1000) / 1000
        details.append(_retry(rounded))
        message += f"\nPlease retry in {rounded}s."
    return error(429, "RESOURCE_EXHAUSTED", message, details)


def context_exceeded(tokens: int, maximum: int, window: int) -> Reply | None:  # noqa: ARG001 - output has its own
    """Say that the request is longer than the model's window; `None`: it fits."""
    if tokens <= window:
        return None
    message = f"The input token count ({tokens}) exceeds the maximum number of tokens allowed ({window})."
    return invalid(message)


def server_error() -> Reply:
    """500."""
    message = (
        "An internal error has occurred. Please retry or report in "
        "https://developers.generativeai.google/guide/troubleshooting"
    )
    return error(500, "INTERNAL", message)


def overloaded() -> Reply:
    """503: the model is overloaded."""
    return error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")


def site_overloaded() -> Reply:
    """503: the service is overloaded."""
    return error(503, "UNAVAILABLE", "The service is currently unavailable.")


def wrong_shape(model: str) -> Reply:
    """200 with JSON that is no answer."""
    return Reply(status=200, body=orjson.dumps({"modelVersion": model, "items": [None]}))


def _quota(metric: str, quota: str, allowed: float, model: str) -> JsonValue:
    violation: JsonValue = {
        "quotaMetric": f"{_SERVICE}/{metric}",
        "quotaId": quota,
        "quotaDimensions": {"location": "global", "model": model},
        "quotaValue": f"{allowed:g}",
    }
    return {"@type": f"{_TYPE}QuotaFailure", "violations": [violation]}


def _help() -> JsonValue:
    link: JsonValue = {
        "description": "Learn more about Gemini API quotas",
        "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
    }
    return {"@type": f"{_TYPE}Help", "links": [link]}


def _retry(wait_s: float) -> JsonValue:
    return {"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{wait_s:g}s"}


def _localized(message: str) -> JsonValue:
    return {"@type": f"{_TYPE}LocalizedMessage", "locale": "en-US", "message": message}
