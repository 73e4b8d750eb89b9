"""Writes requests: contents, operator's words, tools and configuration, in `camelCase`."""

from collections.abc import Iterator, Sequence

from broker.domain.caps import Caps, ThinkingForm
from broker.protocols.canonical.parts import CallPart, MediaPart, RefusalPart, TextPart
from broker.protocols.canonical.request import Request, Role, Turn
from broker.protocols.codec import Written
from broker.protocols.gemini_generate_content.parts import write_part
from broker.protocols.gemini_generate_content.paths import GENERATE, path_to
from broker.protocols.gemini_generate_content.tools import write_tools
from broker.protocols.gemini_generate_content.write_config import choices_of, write_config
from broker.protocols.losses import Losses

_TIERS = {"default": "standard", "flex": "flex", "priority": "priority"}
_ROLES = {Role.USER: "user", Role.ASSISTANT: "model"}
_NO_SIGNATURE = "skip_thought_signature_validator"
"""Documented for calls that another model made: Gemini 3 refuses a step whose first call has no signature."""


def write_request(request: Request, *, model: str, caps: Caps, losses: Losses) -> Written:
    """Write a request; what cannot be said is noted."""
    system = list(_system(request, losses))
    body: dict[str, object] = {"contents": list(_contents(request.turns, caps, losses))}
    if system:
        body["systemInstruction"] = {"parts": system}
    if request.tools or request.tool_choice is not None:
        body.update(write_tools(request, caps, losses))
    config = write_config(request, caps, losses)
    if config:
        body["generationConfig"] = config
    body.update(_identity(request, losses))
    return Written(body=body, path=path_to(model, GENERATE), fan_out=1 if choices_of(request, caps) else request.n)


def _system(request: Request, losses: Losses) -> Iterator[dict[str, object]]:
    """Write all that operators say; Gemini hears them before the conversation only."""
    for part in request.system:
        yield from _operators_part(part, losses)
    for turn in request.turns:
        if turn.role is Role.SYSTEM:
            what = "an operator's message in mid-conversation moves to its beginning"
            losses.converted(turn.path, "system_moved", what)
            for each in turn.parts:
                if isinstance(each, TextPart | MediaPart):
                    yield from _operators_part(each, losses)


def _operators_part(part: TextPart | MediaPart, losses: Losses) -> Iterator[dict[str, object]]:
    if part.cache is not None:
        losses.hint(part.path, "cache_mark", "a cache mark")
    if isinstance(part, MediaPart):
        losses.content(part.path, "unsupported_media", "an operator's message for Gemini holds text only")
    elif part.text:
        yield {"text": part.text}


def _contents(turns: Sequence[Turn], caps: Caps, losses: Losses) -> Iterator[dict[str, object]]:
    for turn in turns:
        if turn.role is Role.SYSTEM:
            continue
        parts = [written for part in turn.parts for written in write_part(part, caps, losses)]
        if not parts:
            # Said, and empty: left out where that changes nothing, which is behind no question
            if turn.role is Role.ASSISTANT and all(isinstance(part, TextPart | RefusalPart) for part in turn.parts):
                continue
            parts = [{"text": ""}]
        elif turn.role is Role.ASSISTANT and caps.thinking is ThinkingForm.LEVEL:
            _seal(turn, parts, losses)
        yield {"role": _ROLES[turn.role], "parts": parts}


def _seal(turn: Turn, parts: Sequence[dict[str, object]], losses: Losses) -> None:
    """Mark the first call of a step that another model made, where the target insists on a signature."""
    first = next((part for part in turn.parts if isinstance(part, CallPart)), None)
    if first is None or any("thoughtSignature" in part for part in parts):
        return
    what = "the call was made by another model, which is said in place of a thought's signature"
    losses.converted(first.path, "signature_placeholder", what)
    next(part for part in parts if "functionCall" in part)["thoughtSignature"] = _NO_SIGNATURE


def _identity(request: Request, losses: Losses) -> Iterator[tuple[str, object]]:
    if request.user_id is not None:
        losses.hint(request.pointer("user_id"), "unsupported_field", "Gemini is not told who asks")
    if request.metadata is not None:
        losses.hint(request.pointer("metadata"), "unsupported_field", "Gemini files nothing under a request's metadata")
    tier = request.service_tier
    if tier is None or tier == "auto":
        return
    if tier in _TIERS:
        yield "serviceTier", _TIERS[tier]
    else:
        losses.hint(request.pointer("service_tier"), "unsupported_field", f"Gemini knows no tier {tier}")
