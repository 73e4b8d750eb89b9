"""Headers as the Anthropic API reads and sends them."""

import math
from dataclasses import replace
from datetime import UTC, datetime

import orjson
from aiohttp.web import BaseRequest

from workers.provider_sim.call import JSON, Reply
from workers.provider_sim.gate import Level, Limit

_NAMES = {
    Limit.REQUESTS: "requests",
    Limit.TOKENS: "tokens",
    Limit.INPUT_TOKENS: "input-tokens",
    Limit.OUTPUT_TOKENS: "output-tokens",
}


def key_of(request: BaseRequest) -> str:
    """Return the key a request carries, in the old header or in the new one."""
    key = request.headers.get("x-api-key")
    if key is not None:
        return key
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def of_answer(request_id: str, seconds: float) -> dict[str, str]:  # noqa: ARG001 - nothing is said of time
    """Return what every answer carries."""
    return {"request-id": request_id, "anthropic-organization-id": "00000000-0000-4000-8000-000000000000"}


def of_limits(levels: list[Level], now: float) -> dict[str, str]:
    """`anthropic-ratelimit-*` for each bucket; resets are moments in whole seconds."""
    headers = {}
    for level in levels:
        start = f"anthropic-ratelimit-{_NAMES[level.limit]}"
        headers[f"{start}-limit"] = str(int(level.allowed))
        headers[f"{start}-remaining"] = str(int(level.remaining))
        headers[f"{start}-reset"] = _moment(now + level.reset_s)
    return headers


def signed(reply: Reply, request_id: str) -> Reply:
    """Return an error whose body repeats the id of the header."""
    if reply.content_type != JSON or not reply.body:
        return reply
    body = orjson.loads(reply.body)
    if body.get("type") != "error":
        return reply
    return replace(reply, body=orjson.dumps(body | {"request_id": request_id}))


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(math.ceil(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
