"""Writes messages as Anthropic would have answered them."""

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, assert_never

from broker.protocols.anthropic_messages.usage import write_usage
from broker.protocols.canonical.answer import Answer, Finish, Output
from broker.protocols.canonical.parts import (
    CallPart,
    MediaPart,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    ResultPart,
    TextPart,
)
from broker.protocols.codec import Json
from broker.protocols.tool_arguments import UNPARSABLE_KEY

CALL_ID = re.compile(r"[A-Za-z0-9_-]+")
_MESSAGE_ID = re.compile(r"msg_[A-Za-z0-9_-]+")
_THINKS = frozenset({"enabled", "adaptive"})
_STOP_REASONS: Mapping[Finish, str | None] = {
    Finish.STOP: "end_turn",
    Finish.STOP_SEQUENCE: "stop_sequence",
    Finish.LENGTH: "max_tokens",
    Finish.CONTEXT_WINDOW: "model_context_window_exceeded",
    Finish.TOOL_CALLS: "tool_use",
    Finish.REFUSAL: "refusal",
    Finish.CONTENT_FILTER: "refusal",
    Finish.PAUSE: "pause_turn",
    Finish.OTHER: None,  # Anthropic has no word for it, and to say that the turn ended would be a guess
}


def write_answer(answer: Answer, request: Json | None) -> dict[str, object]:
    """Write an answer. Thoughts are in it if the producer asked for them, or if nobody knows what was asked."""
    output = answer.outputs[0] if answer.outputs else None
    content: list[dict[str, object]] = []
    if output is not None:
        display = _display(request)
        for index, part in enumerate(output.parts):
            block = _block(part, index, display)
            if block is not None:
                content.append(block)
    model = answer.model or (request or {}).get("model")
    return {
        "id": _message_id(answer),
        "type": "message",
        "role": "assistant",
        "model": model if isinstance(model, str) else "",
        "content": content,
        "stop_reason": None if output is None else _STOP_REASONS[output.finish],
        "stop_sequence": None if output is None else output.stop_sequence,
        "stop_details": None if output is None else _stop_details(output),
        "usage": write_usage(answer.usage, answer.service_tier),
    }


def _stop_details(output: Output) -> dict[str, object] | None:
    if output.finish not in (Finish.REFUSAL, Finish.CONTENT_FILTER):
        return None
    words = "\n".join(part.text for part in output.parts if isinstance(part, RefusalPart))
    return {"type": "refusal", "category": None, "explanation": words or None}


def _display(request: Json | None) -> str:
    """What the producer wants to see of thoughts: `summarized`, `omitted` (their seal only), or nothing."""
    if request is None:
        return "summarized"
    config: Any = request.get("thinking")
    if not isinstance(config, dict) or config.get("type") not in _THINKS:
        return ""
    return "omitted" if config.get("display") == "omitted" else "summarized"


def _block(part: Part, index: int, display: str) -> dict[str, object] | None:
    match part:
        case TextPart(text=text) | RefusalPart(text=text):
            return {"type": "text", "text": text, "citations": None} if text else None
        case ReasoningPart():
            if not display:
                return None
            text = part.text if display == "summarized" else ""
            return {"type": "thinking", "thinking": text, "signature": part.signature or ""}
        case CallPart():
            arguments = {UNPARSABLE_KEY: part.arguments_text} if part.arguments is None else part.arguments
            return {"type": "tool_use", "id": _call_id(part.id, index), "name": part.name, "input": arguments}
        case MediaPart() | ResultPart() | OpaquePart():  # a message of Anthropic's has no place for them
            return None
        case _:
            assert_never(part)


def _message_id(answer: Answer) -> str:
    if answer.id is not None and _MESSAGE_ID.fullmatch(answer.id):
        return answer.id
    return f"msg_{_digest(answer.id or '')}"


def _call_id(call_id: str, index: int) -> str:
    """The id as it came, which the producer's next request brings back; one that is not legal is made over."""
    return call_id if CALL_ID.fullmatch(call_id) else f"toolu_{_digest(f'{index}/{call_id}')}"


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
