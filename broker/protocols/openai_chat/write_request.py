"""Writes chat completion requests. Source: OpenAI API reference, "Create chat completion"."""

from collections.abc import Iterator

from broker.domain.caps import Caps, ThinkingForm
from broker.protocols.canonical.parts import (
    CallPart,
    MediaPart,
    Part,
    RefusalPart,
    ResultPart,
    TextPart,
)
from broker.protocols.canonical.request import (
    Format,
    FormatKind,
    Reasoning,
    Request,
    Role,
    Thinking,
    ToolChoice,
    Turn,
)
from broker.protocols.codec import Written
from broker.protocols.losses import Losses
from broker.protocols.openai_chat.parts import write_parts
from broker.protocols.openai_chat.tools import write_tools
from broker.protocols.reasoning import effort_of, nearest_effort
from broker.protocols.tool_arguments import arguments_text

PATH = "/chat/completions"
_MOST_STOPS = 4
_SCHEMA_NAME = "output"


def write_request(request: Request, *, model: str, caps: Caps, losses: Losses) -> Written:
    """Write a request; what cannot be said is noted."""
    messages = list(_system(request, caps, losses))
    for turn in request.turns:
        messages.extend(_messages(turn, caps, losses))
    body: dict[str, object] = {"model": model, "messages": messages}
    body.update(write_tools(request, caps, losses))
    if request.tool_choice is not None and "tools" not in body:
        _note_lost_choice(request.tool_choice, losses)
    if request.max_output_tokens is not None:
        body[caps.output_limit_field] = request.max_output_tokens
    body.update(_sampling(request, caps, losses))
    if request.stop:
        body.update(_stop(request, caps, losses))
    if request.format is not None and request.format.kind is not FormatKind.TEXT:
        body.update(_format(request.format, caps, losses))
    if request.reasoning is not None:
        body.update(_reasoning(request.reasoning, caps, losses))
    fan_out = 1
    if request.n > 1:
        if caps.choices:
            body["n"] = request.n
        else:
            fan_out = request.n
            losses.converted(request.pointer("n"), "fan_out", f"{request.n} answers are asked for one at a time")
    body.update(_identity(request, caps, losses))
    return Written(body=body, path=PATH, fan_out=fan_out)


def _system(request: Request, caps: Caps, losses: Losses) -> Iterator[dict[str, object]]:
    for part in request.system:
        if isinstance(part, MediaPart):
            losses.content(part.path, "unsupported_media", "an operator's message in a chat holds text only")
        elif part.text:
            if part.cache is not None:
                losses.hint(part.path, "cache_mark", "a cache mark")
            yield {"role": caps.system_role, "content": part.text}


def _messages(turn: Turn, caps: Caps, losses: Losses) -> Iterator[dict[str, object]]:
    match turn.role:
        case Role.ASSISTANT:
            yield _assistant(turn, losses)
        case Role.SYSTEM:
            yield {"role": caps.system_role, "content": write_parts(turn.parts, losses)}
        case Role.USER:
            results = [part for part in turn.parts if isinstance(part, ResultPart)]
            rest: list[Part] = [part for part in turn.parts if not isinstance(part, ResultPart)]
            moved: list[Part] = []
            for result in results:
                yield _result(result, moved, losses)
            if moved or rest:
                yield {"role": "user", "content": write_parts((*moved, *rest), losses)}


def _assistant(turn: Turn, losses: Losses) -> dict[str, object]:
    texts: list[str] = []
    refusals: list[str] = []
    calls: list[dict[str, object]] = []
    for part in turn.parts:
        match part:
            case TextPart(text=text):
                texts.append(text)
            case RefusalPart(text=text):
                refusals.append(text)
            case CallPart():
                calls.append(_call(part, losses))
            case _:
                losses.content(part.path, "unsupported_part", "an assistant's message in a chat holds text and calls")
    message: dict[str, object] = {"role": "assistant"}
    if len(texts) > 1:
        message["content"] = [{"type": "text", "text": text} for text in texts]
    else:
        message["content"] = texts[0] if texts else None
    if refusals:
        message["refusal"] = "\n".join(refusals)
    if calls:
        message["tool_calls"] = calls
    return message


def _call(part: CallPart, losses: Losses) -> dict[str, object]:
    if part.custom:
        what = f"the call of {part.name} has free text as its argument"
        losses.content(part.path, "custom_tool", what, droppable=True)
    if part.cache is not None:
        losses.hint(part.path, "cache_mark", "a cache mark")
    if part.signature is not None:
        losses.hint(part.path, "signature_dropped", "the seal of a thought is of use to its own vendor only")
    function = {"name": part.name, "arguments": arguments_text(part)}
    return {"id": part.id, "type": "function", "function": function}


def _result(result: ResultPart, moved: list[Part], losses: Losses) -> dict[str, object]:
    """Write a result as a message; media in it wait in `moved` for the user's next message."""
    texts = []
    for part in result.parts:
        if isinstance(part, TextPart):
            texts.append(part.text)
        else:
            losses.converted(part.path, "media_moved", "media in a tool's result move to the user's next message")
            moved.append(part)
    if result.is_error:
        losses.hint(result.path, "is_error_dropped", "that a tool failed is told by its text only")
    content: object = texts[0] if len(texts) == 1 else [{"type": "text", "text": text} for text in texts] or ""
    return {"role": "tool", "tool_call_id": result.call_id, "content": content}


def _sampling(request: Request, caps: Caps, losses: Losses) -> Iterator[tuple[str, object]]:
    sampling = request.sampling
    taken = {
        "temperature": caps.sampling,
        "top_p": caps.sampling,
        "seed": caps.seed,
        "presence_penalty": caps.penalties,
        "frequency_penalty": caps.penalties,
        "logprobs": caps.logprobs,
        "top_logprobs": caps.logprobs,
        "logit_bias": caps.penalties,
        "verbosity": caps.thinking is ThinkingForm.EFFORT,
        "top_k": False,
    }
    for name, takes in taken.items():
        value = getattr(sampling, name)
        if value is None:
            continue
        if not takes:
            losses.sampling(request.pointer(name), "unsupported_field", f"{name} is not taken by the target")
        elif name == "temperature" and value > caps.temperature_max:
            what = f"the target takes a temperature up to {caps.temperature_max:g}"
            losses.sampling(request.pointer(name), "clamped", what)
            yield name, caps.temperature_max
        else:
            yield name, value


def _stop(request: Request, caps: Caps, losses: Losses) -> Iterator[tuple[str, object]]:
    if not caps.stop:
        losses.sampling(request.pointer("stop"), "unsupported_field", "the target takes no stop sequences")
        return
    if len(request.stop) > _MOST_STOPS:
        losses.sampling(request.pointer("stop"), "clamped", f"the target takes {_MOST_STOPS} stop sequences")
    yield "stop", list(request.stop[:_MOST_STOPS])


def _format(wanted: Format, caps: Caps, losses: Losses) -> Iterator[tuple[str, object]]:
    if wanted.kind is FormatKind.JSON_OBJECT:
        yield "response_format", {"type": "json_object"}
        return
    if not caps.structured_output:
        losses.sampling(wanted.path, "unsupported_field", "the target does not follow a JSON schema")
        return
    match caps.structured_output_field:
        case "response_format":
            yield "response_format", {"type": "json_schema", "json_schema": _schema(wanted)}
        case "structured_outputs":  # vLLM from 0.12 on
            yield "structured_outputs", {"json": wanted.schema or {}}
        case field:  # `guided_json` of older ones
            yield field, wanted.schema or {}


def _schema(wanted: Format) -> dict[str, object]:
    schema: dict[str, object] = {"name": wanted.name or _SCHEMA_NAME}
    if wanted.description is not None:
        schema["description"] = wanted.description
    if wanted.schema is not None:
        schema["schema"] = wanted.schema
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    return schema


def _reasoning(reasoning: Reasoning, caps: Caps, losses: Losses) -> Iterator[tuple[str, object]]:
    match reasoning.mode:
        case Thinking.AUTO:
            return
        case Thinking.OFF:
            if caps.thinking is ThinkingForm.NONE:
                return
            if caps.thinking_off:
                yield "reasoning_effort", "none"
            else:
                losses.sampling(reasoning.path, "clamped", "the target always thinks; it thinks as little as it can")
                yield "reasoning_effort", caps.efforts[0]
        case Thinking.ON:
            effort = effort_of(reasoning)
            if effort is None:
                return
            if caps.thinking is ThinkingForm.NONE:
                losses.sampling(reasoning.path, "unsupported_field", "the target cannot be told how much to think")
                return
            known = nearest_effort(effort, caps.efforts)
            if reasoning.effort is not None and known != effort:
                losses.sampling(reasoning.path, "clamped", f"the target knows no effort {effort}; {known} is nearest")
            yield "reasoning_effort", known


def _identity(request: Request, caps: Caps, losses: Losses) -> Iterator[tuple[str, object]]:
    for name, theirs in (("user_id", "safety_identifier"), ("service_tier", "service_tier")):
        value = getattr(request, name)
        if value is None:
            continue
        if caps.identity:
            yield theirs, value
        else:
            losses.hint(request.pointer(name), "unsupported_field", f"{name} is not taken by the target")
    if request.metadata is not None:
        losses.hint(request.pointer("metadata"), "unsupported_field", "metadata go with stored answers only")


def _note_lost_choice(choice: ToolChoice, losses: Losses) -> None:
    losses.converted(choice.path, "choice_without_tools", "a choice without tools says nothing")
