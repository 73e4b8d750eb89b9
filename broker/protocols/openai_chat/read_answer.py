"""Reads chat completions: a body is an answer only when it is complete and well formed.

A success status proves nothing: proxies send pages, connections are cut, and errors come inside a 200.
"""

from collections.abc import Mapping
from typing import Any

from broker.domain.usage import Usage
from broker.protocols.canonical.answer import Answer, Finish, Output
from broker.protocols.canonical.parts import CallPart, Part, ReasoningPart, RefusalPart, TextPart
from broker.protocols.codec import Embedded, Json
from broker.protocols.indexes import index_fault
from broker.protocols.openai_chat.messages import THOUGHTS, signature_of
from broker.protocols.printable import printable
from broker.protocols.tool_arguments import read_arguments

# Ends that leave nothing to say: the whole answer may have been filtered, or spent on reasoning.
_EMPTY_ENDS = frozenset({"content_filter", "length", "model_length"})
_FINISHES: Mapping[str, Finish] = {
    "stop": Finish.STOP,
    "eos": Finish.STOP,
    "eos_token": Finish.STOP,
    "stop_sequence": Finish.STOP_SEQUENCE,
    "length": Finish.LENGTH,
    "model_length": Finish.CONTEXT_WINDOW,
    "tool_calls": Finish.TOOL_CALLS,
    "function_call": Finish.TOOL_CALLS,
    "content_filter": Finish.CONTENT_FILTER,
}


def items_asked_for(request: Json) -> int | None:
    """How many choices a request asks for."""
    choices = request.get("n")
    return choices if type(choices) is int else 1 if choices is None else None


def fault_of(value: Json, items: int | None) -> str | Embedded | None:
    """Say what keeps this object from being an answer, or give the error that stands in place of one."""
    error = value.get("error")
    if error or value.get("object") == "error":
        return Embedded(error=error or value)
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices:
        return "no choices"
    if items is not None and len(choices) != items:
        return f"{len(choices)} choices where {items} were asked for"
    for choice in choices:
        fault = _choice_fault(choice)
        if fault is not None:
            return fault
    return index_fault(choices)


def _choice_fault(choice: object) -> str | Embedded | None:
    if not isinstance(choice, dict):
        return "a choice is no object"
    error = choice.get("error")
    if error and isinstance(error, dict):
        return Embedded(error=error)
    finish = choice.get("finish_reason")
    if not isinstance(finish, str) or not finish:
        return "a choice has no finish reason"
    if finish == "error":
        return Embedded(error={"message": "the choice ended with an error", "code": "server_error"})
    return None if _is_message(choice.get("message"), finish) else "a choice has no complete message"


def _is_message(message: object, finish: str) -> bool:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        return False
    calls = message.get("tool_calls")
    if calls and not (isinstance(calls, list) and all(map(_is_call, calls))):
        return False
    content = message.get("content")
    if isinstance(content, str):
        return True
    if content is not None:  # parts: some providers separate thinking from text
        return isinstance(content, list) and bool(content) and all(isinstance(part, dict) for part in content)
    return bool(
        calls
        or finish in _EMPTY_ENDS
        or isinstance(message.get("refusal"), str)
        or isinstance(message.get("function_call"), dict)
        or isinstance(message.get("audio"), dict)
        or message.get("reasoning_content")
        or message.get("reasoning")
    )


def _is_call(call: object) -> bool:
    if not isinstance(call, dict):
        return False
    wanted = call.get("function", call.get("custom"))
    return isinstance(wanted, dict) and isinstance(wanted.get("name"), str)


def read_answer(value: Json, usage: Usage) -> Answer:
    """Read a completion that has no fault."""
    choices: list[dict[str, Any]] = value["choices"]  # type: ignore[assignment]  # it has no fault
    created = value.get("created")
    tier = value.get("service_tier")
    raw = value.get("usage")
    return Answer(
        id=printable(value.get("id")),
        model=printable(value.get("model")),
        created=created if type(created) is int else None,
        outputs=tuple(sorted(map(_output, choices), key=lambda output: output.index)),
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


def _output(choice: dict[str, Any]) -> Output:
    message = choice["message"]
    raw = choice["finish_reason"]
    parts = tuple(_parts(message))
    index = choice.get("index", 0)
    logprobs = choice.get("logprobs")
    return Output(
        index=index if type(index) is int else 0,
        parts=parts,
        finish=_finish(raw, parts),
        finish_raw=raw,
        stop_sequence=_stop_sequence(choice),
        logprobs=logprobs if isinstance(logprobs, dict) else None,
    )


def _finish(raw: str, parts: tuple[Part, ...]) -> Finish:
    """Name the end: calls beat a bare stop, and a length beats calls, whose arguments may be cut."""
    finish = _FINISHES.get(raw, Finish.OTHER)
    if finish in (Finish.STOP, Finish.OTHER) and any(type(part) is CallPart for part in parts):
        return Finish.TOOL_CALLS
    if finish is Finish.STOP and any(type(part) is RefusalPart for part in parts):
        return Finish.REFUSAL
    return finish


def _stop_sequence(choice: dict[str, Any]) -> str | None:
    """The sequence that matched, which vLLM tells as `stop_reason`."""
    reason = choice.get("stop_reason")
    return reason if isinstance(reason, str) else None


def _parts(message: dict[str, Any]) -> list[Part]:
    parts: list[Part] = []
    for key in THOUGHTS:
        thought = message.get(key)
        if isinstance(thought, str) and thought:
            parts.append(ReasoningPart(text=thought))
            break
    parts += _texts(message.get("content"))
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        parts.append(RefusalPart(text=refusal))
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        parts += [_call(call, call_id) for call, call_id in zip(calls, _call_ids(calls), strict=True)]
    function_call = message.get("function_call")
    if isinstance(function_call, dict) and isinstance(function_call.get("name"), str):
        parts.append(_function_call(function_call, "call_0"))
    return parts


def _texts(content: object) -> list[Part]:
    if isinstance(content, str):
        return [TextPart(text=content)] if content else []
    if not isinstance(content, list):
        return []
    parts: list[Part] = []
    for part in content:
        match part:
            case {"type": "thinking", "thinking": thinking}:  # Mistral
                parts.append(ReasoningPart(text=_thought(thinking)))
            case {"type": "reasoning" | "reasoning_text" | "thought", "text": str(text)}:
                parts.append(ReasoningPart(text=text))
            case {"text": str(text)} if text:
                parts.append(TextPart(text=text))
            case {"refusal": str(text)} if text:
                parts.append(RefusalPart(text=text))
            case _:
                continue
    return parts


def _thought(thinking: object) -> str:
    if isinstance(thinking, str):
        return thinking
    pieces = thinking if isinstance(thinking, list) else []
    return "".join(piece["text"] for piece in pieces if isinstance(piece, dict) and isinstance(piece.get("text"), str))


def _call_ids(calls: list[dict[str, Any]]) -> list[str]:
    """An id for each call: its own, or one by its place where it has none, or one that another call has, too.

    Results are told apart by nothing else.
    """
    given = [call.get("id") for call in calls]
    taken = {call_id for call_id in given if isinstance(call_id, str)}
    ids: list[str] = []
    for index, call_id in enumerate(given):
        if isinstance(call_id, str) and call_id and call_id not in ids:
            ids.append(call_id)
            continue
        made = f"call_{index}"
        while made in taken:
            made += "_"
        taken.add(made)
        ids.append(made)
    return ids


def _call(call: dict[str, Any], call_id: str) -> CallPart:
    custom = call.get("custom")
    if "function" not in call and isinstance(custom, dict):
        text = custom.get("input")
        text = text if isinstance(text, str) else ""
        return CallPart(id=call_id, name=custom["name"], arguments=None, arguments_text=text, custom=True)
    return _function_call(call["function"], call_id, signature=signature_of(call))


def _function_call(function: dict[str, Any], call_id: str, *, signature: str | None = None) -> CallPart:
    arguments = function.get("arguments")
    if isinstance(arguments, dict):  # some servers answer with the object itself
        return CallPart(id=call_id, name=function["name"], arguments=arguments, arguments_text="", signature=signature)
    text = arguments if isinstance(arguments, str) else ""
    return CallPart(
        id=call_id,
        name=function["name"],
        arguments=read_arguments(text),
        arguments_text=text,
        signature=signature,
    )
