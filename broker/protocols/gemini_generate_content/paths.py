"""Where Gemini's calls go: the model stands in the path, and the shape of the body says what is asked for."""

from collections.abc import Mapping

VERSION = "/v1beta"
GENERATE = "generateContent"
EMBED = "embedContent"
EMBED_BATCH = "batchEmbedContents"

_KEPT = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/@")


def resource_of(model: str) -> str:
    """The resource name of a model: `models/…`, unless its name says already where it is kept."""
    return model if "/" in model else f"models/{model}"


def path_to(model: str, method: str) -> str:
    """The path of a call below the base URL."""
    return f"{VERSION}/{_quoted(resource_of(model))}:{method}"


def path(model: str, body: Mapping[str, object]) -> str:
    """The path of a body of this dialect."""
    return path_to(model, method_of(body))


def method_of(body: Mapping[str, object]) -> str:
    """What a body asks for: a text, one vector, or several."""
    if body.get("requests") is not None:
        return EMBED_BATCH
    return EMBED if body.get("content") is not None else GENERATE


def _quoted(name: str) -> str:
    if _KEPT.issuperset(name):
        return name
    return "".join(
        letter if letter in _KEPT else "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "replace"))
        for letter in name
    )
