"""Headers as the Gemini API reads and sends them."""

from aiohttp.web import BaseRequest

from workers.provider_sim.call import Reply
from workers.provider_sim.gate import Level


def key_of(request: BaseRequest) -> str:
    """Return the key a request carries, as a key of the API or as a token of Vertex."""
    key = request.headers.get("x-goog-api-key") or request.query.get("key")
    if key is not None:
        return key
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def of_answer(request_id: str, seconds: float) -> dict[str, str]:  # noqa: ARG001 - the id is in the body only
    """Return what every answer carries."""
    return {"server-timing": f"gfet4t7; dur={round(seconds * 1000)}"}


def of_limits(levels: list[Level], now: float) -> dict[str, str]:  # noqa: ARG001 - Gemini says nothing of limits
    """Return nothing: only an error tells a limit."""
    return {}


def signed(reply: Reply, request_id: str) -> Reply:  # noqa: ARG001 - errors have no id
    """Return the error as it is."""
    return reply
