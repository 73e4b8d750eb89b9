"""Reads responses: a body is an answer only when it is complete and well formed.

A success status proves nothing: a response may have failed, or be one that is still being made.
"""

from collections.abc import Iterator
from typing import Any

from broker.domain.usage import Usage
from broker.protocols.canonical.answer import Answer, Finish, Output
from broker.protocols.canonical.parts import CallPart, OpaquePart, Part, ReasoningPart, RefusalPart, TextPart
from broker.protocols.codec import Embedded, Json
from broker.protocols.printable import printable
from broker.protocols.tool_arguments import read_arguments

_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
"""Items that ask the producer for something, and where they say what."""
_REASONS = {
    "max_output_tokens": Finish.LENGTH,
    "max_tokens": Finish.LENGTH,
    "content_filter": Finish.CONTENT_FILTER,
}


def items_asked_for(_request: Json) -> int:
    """How many answers a request asks for: this dialect knows one only."""
    return 1


def fault_of(value: Json, items: int | None) -> str | Embedded | None:  # noqa: ARG001  (there is always one)
    """Say what keeps this object from being an answer, or give the error that stands in place of one."""
    error = value.get("error")
    if error or value.get("object") == "error":
        return Embedded(error=error or value)
    if value.get("object", "response") != "response":
        return "no response object"
    match value.get("status"):
        case "completed" | "incomplete" as status:
            return _output_fault(value.get("output"), complete=status == "completed")
        case "failed":
            return Embedded(error={"message": "the response failed and does not say why", "code": "server_error"})
        case "in_progress" | "queued" | "cancelled" as status:
            return f"the response is {status}"
        case _:
            return "no known status"


def _output_fault(output: object, *, complete: bool) -> str | None:
    if not isinstance(output, list):
        return "no output"
    for item in output:
        fault = _item_fault(item)
        if fault is not None:
            return fault
    calls = [item["call_id"] for item in output if item["type"] in _CALLS]
    if len(set(calls)) < len(calls):
        return "two calls share an id"
    if complete and all(item["type"] == "reasoning" for item in output):
        return "an answer without words or calls"
    return None


def _item_fault(item: object) -> str | None:
    if not isinstance(item, dict):
        return "an item of the output is no object"
    kind = item.get("type")
    if not isinstance(kind, str):
        return "an item of the output has no type"
    if kind == "message":
        return _message_fault(item)
    if kind in _CALLS:
        wanted = ("call_id", "name", _CALLS[kind])
        return None if all(isinstance(item.get(key), str) for key in wanted) and item["name"] else "a call is cut"
    return None


def _message_fault(message: dict[str, Any]) -> str | None:
    if message.get("role") != "assistant":
        return "a message of the output is not the assistant's"
    content = message.get("content")
    if not isinstance(content, list) or (not content and message.get("status") == "completed"):
        return "a message of the output has no content"
    for part in content:
        if not isinstance(part, dict):
            return "a part of a message is no object"
        match part:
            case {"type": "output_text", "text": str()} | {"type": "refusal", "refusal": str()}:
                continue
            case {"type": str(kind)} if kind not in ("output_text", "refusal"):
                continue
            case _:
                return "a part of a message is cut"
    return None


def read_answer(value: Json, usage: Usage) -> Answer:
    """Read a response that has no fault."""
    output: list[dict[str, Any]] = value["output"]  # type: ignore[assignment]  # it has no fault
    created = value.get("created_at")
    tier = value.get("service_tier")
    raw = value.get("usage")
    parts = tuple(part for item in output for part in _parts(item))
    finish, finish_raw = _finish(value, parts)
    logprobs = _logprobs(output)
    return Answer(
        id=printable(value.get("id")),
        model=printable(value.get("model")),
        created=int(created) if type(created) is int or (type(created) is float and created.is_integer()) else None,
        outputs=(Output(index=0, parts=parts, finish=finish, finish_raw=finish_raw, logprobs=logprobs),),
        usage=usage,
        usage_raw=raw if isinstance(raw, dict) else None,
        service_tier=tier if isinstance(tier, str) else None,
        notes=_notes(raw, usage),
    )


def _notes(raw: object, usage: Usage) -> tuple[str, ...]:
    if usage.total_tokens is None:
        return ("usage_missing",)
    total = raw.get("total_tokens") if isinstance(raw, dict) else None
    return ("usage_total_differs",) if type(total) is int and total != usage.total_tokens else ()


def _finish(value: Json, parts: tuple[Part, ...]) -> tuple[Finish, str]:
    """Name the end, also in the provider's own word; what cut the answer off beats its calls."""
    if value["status"] == "incomplete":
        details = value.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        if not isinstance(reason, str):
            return Finish.OTHER, "incomplete"
        return _REASONS.get(reason, Finish.OTHER), reason
    kinds = {type(part) for part in parts}
    if CallPart in kinds:
        return Finish.TOOL_CALLS, "completed"
    return Finish.REFUSAL if RefusalPart in kinds else Finish.STOP, "completed"


def _parts(item: dict[str, Any]) -> Iterator[Part]:
    match item["type"]:
        case "message":
            for part in item["content"]:
                match part["type"]:
                    case "output_text":
                        if part["text"]:
                            yield TextPart(text=part["text"])
                    case "refusal":
                        yield RefusalPart(text=part["refusal"])
                    case kind:
                        yield OpaquePart(kind=kind, raw=part)
        case "function_call":
            text = item["arguments"]
            arguments = read_arguments(text)
            yield CallPart(id=item["call_id"], name=item["name"], arguments=arguments, arguments_text=text)
        case "custom_tool_call":
            text = item["input"]
            yield CallPart(id=item["call_id"], name=item["name"], arguments=None, arguments_text=text, custom=True)
        case "reasoning":
            sealed = item.get("encrypted_content")
            yield ReasoningPart(text=_thoughts(item), signature=sealed if isinstance(sealed, str) else None)
        case kind:
            yield OpaquePart(kind=kind, raw=item)


def _thoughts(item: dict[str, Any]) -> str:
    """The summary that is shown, or else the thoughts themselves."""
    for key in ("summary", "content"):
        pieces = item.get(key)
        texts = [text for piece in pieces if (text := _text_of(piece))] if isinstance(pieces, list) else []
        if texts:
            return "\n\n".join(texts)
    return ""


def _text_of(piece: object) -> str | None:
    text = piece.get("text") if isinstance(piece, dict) else None
    return text if isinstance(text, str) else None


def _logprobs(output: list[dict[str, Any]]) -> object:
    """Log probabilities in the form of a chat, all texts in a row; `None` where there are none."""
    found = []
    for item in output:
        if item["type"] == "message":
            for part in item["content"]:
                given = part.get("logprobs")
                if isinstance(given, list):
                    found += given
    return {"content": found, "refusal": None} if found else None
