"""Writes chat completion requests. Source: OpenAI API reference, "Create chat completion"."""

from collections.abc import Iterator

from broker.domain.caps import Caps, ThinkingForm
from broker.protocols.canonical.parts import (
    CallPart,
    Part,
    RefusalPart,
    ResultPart,
    TextPart,
)
from broker.protocols.canonical.request import (
    Request,
    Role,
    Turn,
)
from broker.protocols.codec import Written
from broker.protocols.losses import Losses
from broker.protocols.neutral import leave_out
from broker.protocols.openai_chat.format import write_format
from broker.protocols.openai_chat.reasoning import write_reasoning
from broker.protocols.openai_chat.tools import write_tools
from broker.protocols.openai_chat.write_parts import write_parts
from broker.protocols.tool_arguments import arguments_text

PATH = "/chat/completions"
_MOST_STOPS = 4


def write_request(request: Request, *, model: str, caps: Caps, losses: Losses) -> Written:
    """Write a request; what cannot be said is noted."""
    messages = list(_system(request, caps, losses))
    for turn in request.turns:
        messages.extend(_messages(turn, caps, losses))
    body: dict[str, object] = {"model": model, "messages": messages}
    body.update(write_tools(request, caps, losses))
    if request.max_output_tokens is not None:
        body[caps.output_limit_field] = request.max_output_tokens
    body.update(_sampling(request, caps, losses))
    if request.stop:
        body.update(_stop(request, caps, losses))
    if request.format is not None:
        body.update(write_format(request.format, caps, losses))
    if request.reasoning is not None:
        body.update(write_reasoning(request.reasoning, caps, losses))
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
        if _is_text(part, losses):
            yield {"role": caps.system_role, "content": write_parts((part,), caps, losses)}


def _is_text(part: Part, losses: Losses) -> bool:
    """Whether an operator can say this; an empty text says nothing."""
    if isinstance(part, TextPart):
        return part.text != ""
    losses.content(part.path, "unsupported_media", "an operator's message in a chat holds text only")
    return False


def _messages(turn: Turn, caps: Caps, losses: Losses) -> Iterator[dict[str, object]]:
    match turn.role:
        case Role.ASSISTANT:
            yield _assistant(turn, caps, losses)
        case Role.SYSTEM:
            said = [part for part in turn.parts if _is_text(part, losses)]
            if said:
                yield {"role": caps.system_role, "content": write_parts(said, caps, losses)}
        case Role.USER:
            results = [part for part in turn.parts if isinstance(part, ResultPart)]
            rest: list[Part] = [part for part in turn.parts if not isinstance(part, ResultPart)]
            moved: list[Part] = []
            for result in results:
                yield _result(result, moved, caps, losses)
            if moved or rest:
                yield {"role": "user", "content": write_parts((*moved, *rest), caps, losses)}


def _assistant(turn: Turn, caps: Caps, losses: Losses) -> dict[str, object]:
    texts: list[TextPart] = []
    refusals: list[str] = []
    calls: list[dict[str, object]] = []
    for part in turn.parts:
        match part:
            case TextPart():
                texts.append(part)
            case RefusalPart(text=text):
                refusals.append(text)
            case CallPart():
                calls.append(_call(part, losses))
            case _:
                losses.content(part.path, "unsupported_part", "an assistant's message in a chat holds text and calls")
    message: dict[str, object] = {"role": "assistant"}
    message["content"] = write_parts(texts, caps, losses) if texts else None
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


def _result(result: ResultPart, moved: list[Part], caps: Caps, losses: Losses) -> dict[str, object]:
    """Write a result as a message; media in it wait in `moved` for the user's next message."""
    texts = []
    for part in result.parts:
        if isinstance(part, TextPart):
            texts.append(part)
        else:
            losses.converted(part.path, "media_moved", "media in a tool's result move to the user's next message")
            moved.append(part)
    if result.is_error:
        losses.hint(result.path, "is_error_dropped", "that a tool failed is told by its text only")
    if result.cache is not None:
        losses.hint(result.path, "cache_mark", "a cache mark")
    return {"role": "tool", "tool_call_id": result.call_id, "content": write_parts(texts, caps, losses)}


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
            leave_out(request, name, f"{name} is not taken by the target", losses)
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
