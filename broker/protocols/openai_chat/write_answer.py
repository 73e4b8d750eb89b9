"""Writes chat completions. Source: OpenAI API reference, "The chat completion object"."""

from collections.abc import Mapping
from hashlib import blake2b

from broker.domain.usage import Usage
from broker.protocols.canonical.answer import Answer, Finish, Output
from broker.protocols.canonical.parts import CallPart, ReasoningPart, RefusalPart, TextPart
from broker.protocols.codec import Json
from broker.protocols.tool_arguments import arguments_text

_PREFIX = "chatcmpl-"
_FINISHES: Mapping[Finish, str] = {
    Finish.STOP: "stop",
    Finish.STOP_SEQUENCE: "stop",
    Finish.LENGTH: "length",
    Finish.CONTEXT_WINDOW: "length",
    Finish.TOOL_CALLS: "tool_calls",
    Finish.REFUSAL: "stop",
    Finish.CONTENT_FILTER: "content_filter",
    Finish.PAUSE: "length",
    Finish.OTHER: "stop",
}


def write_answer(answer: Answer, request: Json | None) -> dict[str, object]:
    """Write a completion."""
    asked = request.get("model") if request is not None else None
    written: dict[str, object] = {
        "id": _id(answer),
        "object": "chat.completion",
        "created": answer.created or 0,
        "model": answer.model or asked or "",
        "choices": [_choice(output) for output in answer.outputs],
    }
    usage = usage_of(answer.usage)
    if usage is not None:
        written["usage"] = usage
    if answer.service_tier in ("auto", "default", "flex", "scale", "priority"):
        written["service_tier"] = answer.service_tier
    return written


def _id(answer: Answer) -> str:
    """The provider's id, in this dialect's form; without one, one that is made of what the answer says."""
    if answer.id:
        return answer.id if answer.id.startswith(_PREFIX) else _PREFIX + answer.id
    said = repr((answer.model, answer.outputs)).encode("utf-8", "surrogatepass")
    return _PREFIX + blake2b(said, digest_size=12).hexdigest()


def usage_of(usage: Usage) -> dict[str, object] | None:
    """The inverse of reading; `None` where nothing is known. What is not known of the details is left out."""
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    written: dict[str, object] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    prompt = {"cached_tokens": usage.cache_read_tokens, "cache_write_tokens": usage.cache_write_tokens}
    prompt = {name: count for name, count in prompt.items() if count is not None}
    if prompt:
        written["prompt_tokens_details"] = prompt
    if usage.reasoning_tokens is not None:
        written["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return written


def _choice(output: Output) -> dict[str, object]:
    texts, refusals, thoughts = [], [], []
    calls: list[dict[str, object]] = []
    for part in output.parts:
        match part:
            case TextPart(text=text):
                texts.append(text)
            case RefusalPart(text=text):
                refusals.append(text)
            case ReasoningPart(text=text) if text:
                thoughts.append(text)
            case CallPart():
                calls.append(_call(part))
            case _:
                continue
    refusal = "\n".join(refusals) if refusals else None
    content: str | None = "".join(texts) if texts else None
    if content is not None and refusal is None and output.finish is Finish.REFUSAL:
        content, refusal = None, content  # what it said was that it declines
    if content is None and refusal is None and not calls:
        content = ""
    message: dict[str, object] = {"role": "assistant", "content": content, "refusal": refusal}
    if thoughts:
        message["reasoning_content"] = "\n".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return {
        "index": output.index,
        "message": message,
        "logprobs": output.logprobs,
        "finish_reason": _finish(output.finish, refusal),
    }


def _finish(finish: Finish, refusal: str | None) -> str:
    """Say the end; without words there is no `refusal` to tell it by, and `stop` would look like an empty answer."""
    return "content_filter" if finish is Finish.REFUSAL and refusal is None else _FINISHES[finish]


def _call(part: CallPart) -> dict[str, object]:
    if part.custom:
        custom = {"name": part.name, "input": part.arguments_text}
        return {"id": part.id, "type": "custom", "custom": custom}
    call: dict[str, object] = {
        "id": part.id,
        "type": "function",
        "function": {"name": part.name, "arguments": arguments_text(part)},
    }
    if part.signature is not None:  # Google's own convention, so that a producer can bring it back
        call["extra_content"] = {"google": {"thought_signature": part.signature}}
    return call
