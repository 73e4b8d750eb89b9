"""Headers as the OpenAI API reads and sends them."""

from aiohttp.web import BaseRequest

from workers.provider_sim.call import Reply
from workers.provider_sim.gate import Level, Limit


def key_of(request: BaseRequest) -> str:
    """Return the key a request carries; Azure has it in a header of its own."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else request.headers.get("api-key", "")


def of_answer(request_id: str, seconds: float) -> dict[str, str]:
    """Return what every answer carries."""
    return {
        "x-request-id": request_id,
        "openai-processing-ms": str(round(seconds * 1000)),
        "openai-version": "2020-10-01",
    }


def of_limits(levels: list[Level], now: float) -> dict[str, str]:  # noqa: ARG001 - resets are durations here
    """`x-ratelimit-*` for requests and combined tokens; separate token limits have no headers in this protocol."""
    headers = {}
    for level in levels:
        if level.limit in {Limit.REQUESTS, Limit.TOKENS}:
            headers[f"x-ratelimit-limit-{level.limit}"] = str(int(level.allowed))
            headers[f"x-ratelimit-remaining-{level.limit}"] = str(int(level.remaining))
            headers[f"x-ratelimit-reset-{level.limit}"] = go_duration(level.reset_s)
    return headers


def signed(reply: Reply, request_id: str) -> Reply:  # noqa: ARG001 - the id is in a header only
    """Return the error as it is."""
    return reply


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
