"""Writes requests of the responses dialect. Source: OpenAI API reference, "Create a model response"."""

from collections.abc import Iterator

from broker.domain.caps import Caps, ThinkingForm
from broker.protocols.canonical.parts import TextPart
from broker.protocols.canonical.request import Format, FormatKind, Reasoning, Request, Thinking
from broker.protocols.codec import Written
from broker.protocols.losses import Losses
from broker.protocols.neutral import leave_out
from broker.protocols.openai_responses.read_request import LOGPROBS
from broker.protocols.openai_responses.tools import write_tools
from broker.protocols.openai_responses.write_items import write_items, write_operator
from broker.protocols.reasoning import effort_of, openai_effort
from broker.protocols.strict_schema import is_closed

PATH = "/responses"
_SCHEMA_NAME = "output"
_UNSPOKEN = ("top_k", "seed", "presence_penalty", "frequency_penalty", "logit_bias")
"""What this dialect has no words for."""
_VERBOSITIES = ("low", "medium", "high")
_TIERS = frozenset({"auto", "default", "flex", "priority"})
_MOST_METADATA = 16
_LEAST_LIMIT = 16
"""Tokens; a lower limit is refused by OpenAI with `integer_below_min_value`."""


def write_request(request: Request, *, model: str, caps: Caps, losses: Losses) -> Written:
    """Write a request; what cannot be said is noted.

    The answer is not to be stored: this dialect does so unless it is told not to, and no other does.
    """
    body: dict[str, object] = {"model": model}
    items = write_items(request, caps, losses)
    match request.system:
        case ():
            pass
        case (TextPart(text=text, cache=None),):
            body["instructions"] = text
        case _:
            items = [*write_operator(request, caps, losses), *items]
    body["input"] = items
    body.update(write_tools(request, caps, losses))
    if request.max_output_tokens is not None:
        body["max_output_tokens"] = _limit(request.max_output_tokens, request, losses)
    body.update(_sampling(request, caps, losses))
    if request.stop:
        losses.sampling(request.pointer("stop"), "unsupported_field", "the target takes no stop sequences")
    form = _text(request, caps, losses)
    if form:
        body["text"] = form
    if request.reasoning is not None:
        reasoning = dict(_reasoning(request.reasoning, caps, losses))
        if reasoning:
            body["reasoning"] = reasoning
    if request.n > 1:
        losses.converted(request.pointer("n"), "fan_out", f"{request.n} answers are asked for one at a time")
    body.update(_identity(request, losses))
    body["store"] = False
    return Written(body=body, path=PATH, fan_out=request.n)


def _limit(limit: int, request: Request, losses: Losses) -> int:
    if limit >= _LEAST_LIMIT:
        return limit
    what = f"the target takes no limit below {_LEAST_LIMIT} tokens"
    losses.sampling(request.pointer("max_output_tokens"), "clamped", what)
    return _LEAST_LIMIT


def _sampling(request: Request, caps: Caps, losses: Losses) -> Iterator[tuple[str, object]]:
    sampling = request.sampling
    if sampling.temperature is not None:
        if not caps.sampling:
            _refuse("temperature", request, losses)
        elif sampling.temperature > caps.temperature_max:
            what = f"the target takes a temperature up to {caps.temperature_max:g}"
            losses.sampling(request.pointer("temperature"), "clamped", what)
            yield "temperature", caps.temperature_max
        else:
            yield "temperature", sampling.temperature
    if sampling.top_p is not None:
        if caps.sampling and (sampling.temperature is None or caps.temperature_with_top_p):
            yield "top_p", sampling.top_p
        else:
            _refuse("top_p", request, losses)
    for name in _UNSPOKEN:
        if getattr(sampling, name) is not None:
            _refuse(name, request, losses)
    yield from _logprobs(request, caps, losses)


def _logprobs(request: Request, caps: Caps, losses: Losses) -> Iterator[tuple[str, object]]:
    sampling = request.sampling
    if not sampling.logprobs and not sampling.top_logprobs:
        return
    if not caps.logprobs:
        _refuse("logprobs" if sampling.logprobs else "top_logprobs", request, losses)
        return
    yield "include", [LOGPROBS]
    if sampling.top_logprobs is not None:
        yield "top_logprobs", sampling.top_logprobs


def _refuse(name: str, request: Request, losses: Losses) -> None:
    leave_out(request, name, f"{name} is not taken by the target", losses)


def _text(request: Request, caps: Caps, losses: Losses) -> dict[str, object]:
    text: dict[str, object] = {}
    if request.format is not None and request.format.kind is not FormatKind.TEXT:
        written = _format(request.format, caps, losses)
        if written is not None:
            text["format"] = written
    verbosity = request.sampling.verbosity
    if verbosity is not None:
        if caps.thinking is not ThinkingForm.NONE and verbosity in _VERBOSITIES:
            text["verbosity"] = verbosity
        else:
            _refuse("verbosity", request, losses)
    return text


def _format(wanted: Format, caps: Caps, losses: Losses) -> dict[str, object] | None:
    if wanted.kind is FormatKind.JSON_OBJECT:
        return {"type": "json_object"}
    if not caps.structured_output:
        losses.sampling(wanted.path, "unsupported_field", "the target does not follow a JSON schema")
        return None
    schema = {} if wanted.schema is None else wanted.schema
    written: dict[str, object] = {"type": "json_schema", "name": wanted.name or _SCHEMA_NAME, "schema": schema}
    if wanted.description is not None:
        written["description"] = wanted.description
    if wanted.strict and not is_closed(schema):
        what = "strict needs a schema whose objects are closed and require all their properties; it is left out"
        losses.hint(wanted.path, "strict_dropped", what)
    elif wanted.strict is not None:
        written["strict"] = wanted.strict
    return written


def _reasoning(reasoning: Reasoning, caps: Caps, losses: Losses) -> Iterator[tuple[str, object]]:
    if caps.thinking is ThinkingForm.NONE:
        if reasoning.mode is Thinking.ON and effort_of(reasoning) is not None:
            losses.sampling(reasoning.path, "unsupported_field", "the target cannot be told how much to think")
        return
    match reasoning.mode:
        case Thinking.AUTO:
            pass
        case Thinking.OFF if caps.thinking_off:
            yield "effort", "none"
        case Thinking.OFF:
            losses.sampling(reasoning.path, "clamped", "the target always thinks; it thinks as little as it can")
            yield "effort", caps.efforts[0]
        case Thinking.ON:
            effort = openai_effort(reasoning, caps, losses)
            if effort is not None:
                yield "effort", effort
    if reasoning.summary:
        yield "summary", "auto"


def _identity(request: Request, losses: Losses) -> Iterator[tuple[str, object]]:
    if request.user_id is not None:
        yield "safety_identifier", request.user_id
    if request.metadata:
        kept = {key: value for key, value in request.metadata.items() if isinstance(value, str)}
        kept = dict(list(kept.items())[:_MOST_METADATA])
        if len(kept) < len(request.metadata):
            what = f"metadata are up to {_MOST_METADATA} texts; the rest is left out"
            losses.hint(request.pointer("metadata"), "clamped", what)
        if kept:
            yield "metadata", kept
    if request.service_tier in _TIERS:
        yield "service_tier", request.service_tier
    elif request.service_tier is not None:
        losses.hint(request.pointer("service_tier"), "unsupported_field", "the target does not know this service tier")
