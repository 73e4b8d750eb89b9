"""Reads requests. Source: Gemini API reference, `generateContent`, `embedContent` and `batchEmbedContents`."""

from typing import Any, cast

from broker.domain.loss import LossClass
from broker.protocols.canonical.request import CanonicalRequest, Request, Unmapped
from broker.protocols.codec import Json
from broker.protocols.fields import pointer
from broker.protocols.gemini_generate_content.contents import read_contents, read_system
from broker.protocols.gemini_generate_content.embeddings import read_embedding
from broker.protocols.gemini_generate_content.generation_config import read_generation
from broker.protocols.gemini_generate_content.paths import GENERATE, method_of
from broker.protocols.gemini_generate_content.proto_json import Message
from broker.protocols.gemini_generate_content.tools import read_tool_choice, read_tools
from broker.protocols.losses import MalformedRequest

_STATE = {
    "cachedContent": "what Google keeps for one account cannot be sent to another",
    "continuationToken": "an answer that is continued is known to Google only",
}
_HINTS = {
    "safetySettings": "how strict filters are is settled by the target",
    "store": "whether a request is kept is settled by the target",
}
_KNOWN = frozenset(
    {
        *_STATE,
        *_HINTS,
        *("model", "contents", "systemInstruction", "generationConfig", "tools", "toolConfig", "labels", "serviceTier"),
    }
)
_TIERS = {"STANDARD": "default", "FLEX": "flex", "PRIORITY": "priority"}


def read_request(body: Json) -> CanonicalRequest:
    """Read a body; raises `MalformedRequest`."""
    message = Message(cast("dict[str, Any]", body), "")
    if method_of(message.members) != GENERATE:
        return read_embedding(message)
    unmapped = message.unknown(_KNOWN)
    for name, detail in _STATE.items():
        unmapped += message.unsupported(name, detail, LossClass.CONTENT, code="provider_state")
    for name, detail in _HINTS.items():
        unmapped += message.unsupported(name, detail, LossClass.HINT)
    generation = read_generation(message, unmapped)
    return Request(
        turns=read_contents(message, unmapped),
        system=read_system(message, unmapped),
        tools=read_tools(message, unmapped),
        tool_choice=read_tool_choice(message, unmapped),
        max_output_tokens=generation.max_output_tokens,
        stop=generation.stop,
        n=generation.n,
        sampling=generation.sampling,
        format=generation.format,
        reasoning=generation.reasoning,
        metadata=_labels(message),
        service_tier=_tier(message, unmapped),
        unmapped=tuple(unmapped),
        pointers={
            **generation.pointers,
            "metadata": message.at("labels"),
            "service_tier": message.at("serviceTier"),
        },
    )


def items_asked_for(body: Json) -> int | None:
    """How many candidates or vectors a body asks for; `None` when it does not say so in a way we know."""
    requests = body.get("requests")
    if requests is not None:
        return len(requests) if isinstance(requests, list) else None
    if body.get("content") is not None:
        return 1
    config = body.get("generationConfig", body.get("generation_config"))
    if not isinstance(config, dict):
        return 1 if config is None else None
    try:
        count = Message(config, "").whole("candidateCount") or 1
    except MalformedRequest:
        return None
    return count if count > 0 else None


def _labels(message: Message) -> dict[str, Any] | None:
    labels = message.object("labels")
    for key, value in (labels or {}).items():
        if type(value) is not str:
            raise MalformedRequest(pointer(message.at("labels"), key), "must be a string")
    return labels


def _tier(message: Message, unmapped: list[Unmapped]) -> str | None:
    tier = message.enum("serviceTier")
    if tier is None:
        return None
    if tier not in _TIERS:
        unmapped += message.unsupported("serviceTier", f"no tier {tier.lower()} is known", LossClass.HINT)
    return _TIERS.get(tier)
