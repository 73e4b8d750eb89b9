"""Reads messages that Anthropic answers with: complete and well formed, or no answer."""

from collections.abc import Mapping, Sequence
from typing import Any

from broker.domain.usage import Usage, UsageSource
from broker.protocols.anthropic_messages.usage import read_tier
from broker.protocols.canonical.answer import Answer, Finish, Output
from broker.protocols.canonical.parts import (
    CallPart,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
)
from broker.protocols.codec import Embedded, Json
from broker.protocols.token_counts import tokens
from broker.protocols.tool_arguments import written_arguments

_FINISHES: Mapping[str, Finish] = {
    "end_turn": Finish.STOP,
    "stop_sequence": Finish.STOP_SEQUENCE,
    "max_tokens": Finish.LENGTH,
    "model_context_window_exceeded": Finish.CONTEXT_WINDOW,
    "tool_use": Finish.TOOL_CALLS,
    "refusal": Finish.REFUSAL,
    "pause_turn": Finish.PAUSE,
}


def fault_of(value: Json, items: int | None) -> str | Embedded | None:  # noqa: ARG001  # always one answer
    """Say what keeps an object from being a complete message, or give the error that stands in its place."""
    error = value.get("error")
    if error or value.get("type") == "error":
        return Embedded(error=error or value)
    reason, content = value.get("stop_reason"), value.get("content")
    if value.get("type") != "message" or value.get("role") != "assistant":
        return "no message of an assistant"
    if not isinstance(reason, str) or not reason:
        return "the message has no stop reason"
    if not isinstance(content, list):
        return "the message has no content"
    return _content_fault(content, reason, value)


def _content_fault(content: list[Any], reason: str, value: Json) -> str | None:
    calls: set[str] = set()
    for block in content:
        fault = _block_fault(block, calls)
        if fault is not None:
            return fault
    if reason == "tool_use" and not calls:
        return "the message ends for a call, and has none"
    if reason == "end_turn" and not content and not _generated(value):
        return "the message is empty"
    return None


def _generated(value: Json) -> bool:
    """Whether tokens were generated: a model may end its turn without a word, and that is two or three tokens."""
    usage = value.get("usage")
    return isinstance(usage, dict) and bool(tokens(usage.get("output_tokens")))


def _block_fault(block: object, calls: set[str]) -> str | None:
    kind = block.get("type") if isinstance(block, dict) else None
    if not isinstance(block, dict) or not isinstance(kind, str):
        return "a block has no type"
    match kind:
        case "text":
            return None if isinstance(block.get("text"), str) else "a text block has no text"
        case "thinking":
            return None if isinstance(block.get("thinking"), str) else "a block of thoughts has none"
        case "redacted_thinking":
            return None if isinstance(block.get("data"), str) else "a block of hidden thoughts has none"
        case "tool_use":
            return _call_fault(block, calls)
        case _:
            return None


def _call_fault(block: dict[str, Any], calls: set[str]) -> str | None:
    call_id, name, arguments = block.get("id"), block.get("name"), block.get("input")
    if not (isinstance(call_id, str) and call_id and isinstance(name, str) and name and isinstance(arguments, dict)):
        return "a call is not complete"
    if call_id in calls:
        return "two calls have one id"
    try:
        written_arguments(arguments)
    except ValueError:
        return "the arguments of a call are nested too deeply"
    calls.add(call_id)
    return None


def read_answer(value: Json, usage: Usage) -> Answer:
    """Read a message that has no fault."""
    parts: list[Part] = []
    cites = False
    content = value["content"]
    for block in content if isinstance(content, list) else ():
        parts.append(_part(block))
        cites = cites or bool(block.get("citations"))
    reason = str(value["stop_reason"])
    finish = _FINISHES.get(reason, Finish.OTHER)
    if finish is Finish.STOP and any(isinstance(part, CallPart) for part in parts):
        finish = Finish.TOOL_CALLS
    if finish is Finish.REFUSAL:
        parts += _explanation(value, parts)
    model, answer_id, matched = value.get("model"), value.get("id"), value.get("stop_sequence")
    reported = value.get("usage")
    notes = ["usage_missing"] if usage.source is UsageSource.MISSING else []
    if cites:
        notes.append("citations_dropped")
    output = Output(
        index=0,
        parts=tuple(parts),
        finish=finish,
        finish_raw=reason,
        stop_sequence=matched if isinstance(matched, str) else None,
    )
    return Answer(
        # What cannot be printed (half a surrogate pair, say) names no model, and no database takes it
        model=model if isinstance(model, str) and model.isprintable() else None,
        usage=usage,
        id=answer_id if isinstance(answer_id, str) else None,
        outputs=(output,),
        service_tier=read_tier(reported),
        usage_raw=reported if isinstance(reported, dict) else None,
        notes=tuple(notes),
    )


def _part(block: dict[str, Any]) -> Part:
    match block["type"]:
        case "text":
            return TextPart(text=block["text"])
        case "thinking":
            signature = block.get("signature")
            return ReasoningPart(text=block["thinking"], signature=signature if isinstance(signature, str) else None)
        case "redacted_thinking":
            return ReasoningPart(signature=block["data"])
        case "tool_use":
            arguments = block["input"]
            text = written_arguments(arguments)
            return CallPart(id=block["id"], name=block["name"], arguments=arguments, arguments_text=text)
        case kind:
            return OpaquePart(kind=kind, raw=block)


def _explanation(value: Json, said: Sequence[Part]) -> list[Part]:
    """The words that tell why the model declined, where there are any that the message does not say itself."""
    details = value.get("stop_details")
    words = details.get("explanation") if isinstance(details, dict) else None
    if (
        not isinstance(words, str)
        or not words
        or any(isinstance(part, TextPart) and part.text == words for part in said)
    ):
        return []
    return [RefusalPart(text=words)]
