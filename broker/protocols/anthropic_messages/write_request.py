"""Writes message requests. Source: Anthropic API reference, "Create a Message"."""

from broker.domain.caps import Caps
from broker.protocols.anthropic_messages.cache_marks import CacheMarks
from broker.protocols.anthropic_messages.caps import CAPS
from broker.protocols.anthropic_messages.schema import fitted
from broker.protocols.anthropic_messages.thinking import WrittenThinking, write_thinking
from broker.protocols.anthropic_messages.tools import write_tools
from broker.protocols.anthropic_messages.version import takes_old, version_headers
from broker.protocols.anthropic_messages.write_messages import moved_system, plain, write_messages, write_system
from broker.protocols.canonical.request import NO_SAMPLING, Format, FormatKind, Request
from broker.protocols.codec import Written
from broker.protocols.losses import Losses
from broker.protocols.neutral import leave_out

PATH = "/v1/messages"
_TIERS = {"auto": "auto", "default": "standard_only"}
_FOREIGN = (
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "verbosity",
)
_LEAST_TOP_P = 0.95
_LONGEST_USER_ID = 256


def write_request(request: Request, *, model: str, caps: Caps, losses: Losses) -> Written:
    """Write a request; what cannot be said is noted."""
    max_tokens = _max_tokens(request, caps, losses)
    marks = CacheMarks(caps, losses)
    tools = write_tools(request, caps, marks, losses)
    turns, moved = moved_system(request.turns, losses)
    system = write_system((*request.system, *moved), marks, losses)
    messages = write_messages(turns, caps, marks, losses)
    thinking = write_thinking(request, max_tokens=max_tokens, tool_forced=tools.forced, caps=caps, losses=losses)
    body: dict[str, object] = {"model": model, "max_tokens": max_tokens}
    if system:
        body["system"] = plain(system)
    body["messages"] = messages
    if tools.tools:
        body["tools"] = tools.tools
    if tools.choice is not None:
        body["tool_choice"] = tools.choice
    if thinking.config is not None:
        body["thinking"] = thinking.config
    if request.sampling is not NO_SAMPLING:
        body.update(_sampling(request, thinking, caps, losses))
    if request.stop:
        body.update(_stop(request, caps, losses))
    output = _output_config(request, thinking, caps, losses)
    if output:
        body["output_config"] = output
    body.update(_identity(request, losses))
    if request.n > 1:
        losses.converted(request.pointer("n"), "fan_out", f"{request.n} answers are asked for one at a time")
    return Written(body=body, path=PATH, headers=version_headers(body, caps), fan_out=max(1, request.n))


def _max_tokens(request: Request, caps: Caps, losses: Losses) -> int:
    """The limit that Anthropic demands: the producer's, else the most that the model generates."""
    if request.max_output_tokens is not None:
        return request.max_output_tokens
    most = caps.max_output_tokens or CAPS.max_output_tokens or 1
    what = f"the target demands a limit, and none was said: {most} tokens"
    losses.converted("", "limit_supplied", what)
    return most


def _sampling(request: Request, thinking: WrittenThinking, caps: Caps, losses: Losses) -> dict[str, object]:
    sampling = request.sampling
    for name in _FOREIGN:
        if getattr(sampling, name) is not None:
            leave_out(request, name, f"{name} is not known to Anthropic", losses)
    if not (caps.sampling and takes_old(caps)):
        for name in ("temperature", "top_p", "top_k"):
            if getattr(sampling, name) is not None:
                leave_out(request, name, f"{name} is not taken by the target", losses)
        return {}
    written: dict[str, object] = {}
    if sampling.temperature is not None:
        written.update(_temperature(request, sampling.temperature, thinking, caps, losses))
    if sampling.top_p is not None:
        written.update(_top_p(request, sampling.top_p, thinking, caps, losses))
    if sampling.top_k is not None:
        if thinking.thinks:
            leave_out(request, "top_k", "the target takes no top_k while it thinks", losses)
        else:
            written["top_k"] = sampling.top_k
    return written


def _temperature(
    request: Request, value: float, thinking: WrittenThinking, caps: Caps, losses: Losses
) -> dict[str, object]:
    if thinking.thinks:
        if value != 1:
            leave_out(request, "temperature", "the target takes the temperature 1 only while it thinks", losses)
        return {}
    if value > caps.temperature_max:
        what = f"the target takes a temperature up to {caps.temperature_max:g}"
        losses.sampling(request.pointer("temperature"), "clamped", what)
        return {"temperature": caps.temperature_max}
    return {"temperature": value}


def _top_p(request: Request, value: float, thinking: WrittenThinking, caps: Caps, losses: Losses) -> dict[str, object]:
    if request.sampling.temperature is not None and not caps.temperature_with_top_p:
        leave_out(request, "top_p", "the target takes temperature or top_p, not both", losses)
        return {}
    if thinking.thinks and value < _LEAST_TOP_P:
        leave_out(request, "top_p", f"the target takes a top_p from {_LEAST_TOP_P} on while it thinks", losses)
        return {}
    return {"top_p": value}


def _stop(request: Request, caps: Caps, losses: Losses) -> dict[str, object]:
    if not caps.stop:
        losses.sampling(request.pointer("stop"), "unsupported_field", "the target takes no stop sequences")
        return {}
    kept = [stop for stop in request.stop if stop and not stop.isspace()]
    if len(kept) < len(request.stop):
        losses.sampling(request.pointer("stop"), "blank_stop", "Anthropic takes no stop sequence of white space only")
    return {"stop_sequences": kept} if kept else {}


def _output_config(request: Request, thinking: WrittenThinking, caps: Caps, losses: Losses) -> dict[str, object]:
    written: dict[str, object] = {}
    if thinking.effort is not None:
        written["effort"] = thinking.effort
    if request.format is not None and request.format.kind is not FormatKind.TEXT:
        schema = _schema(request.format, caps, losses)
        if schema is not None:
            written["format"] = {"type": "json_schema", "schema": schema}
    return written


def _schema(wanted: Format, caps: Caps, losses: Losses) -> dict[str, object] | None:
    if wanted.kind is FormatKind.JSON_OBJECT or wanted.schema is None:
        losses.sampling(wanted.path, "unsupported_field", "Anthropic follows a JSON schema, and has no plain JSON mode")
        return None
    if not caps.structured_output:
        losses.sampling(wanted.path, "unsupported_field", "the target does not follow a JSON schema")
        return None
    if wanted.description:
        losses.hint(wanted.path, "unsupported_field", "what is told about the form beside its schema")
    return fitted(wanted.schema, wanted.path, losses)


def _identity(request: Request, losses: Losses) -> dict[str, object]:
    written: dict[str, object] = {}
    if request.user_id is not None:
        if len(request.user_id) <= _LONGEST_USER_ID:
            written["metadata"] = {"user_id": request.user_id}
        else:
            what = f"Anthropic takes a user id of up to {_LONGEST_USER_ID} characters"
            losses.hint(request.pointer("user_id"), "unsupported_field", what)
    if request.metadata:
        losses.hint(request.pointer("metadata"), "unsupported_field", "Anthropic keeps no metadata of the producer's")
    if request.service_tier is not None:
        tier = _TIERS.get(request.service_tier)
        if tier is None:
            what = f"Anthropic has no service tier {request.service_tier[:40]}"
            losses.hint(request.pointer("service_tier"), "unsupported_field", what)
        else:
            written["service_tier"] = tier
    return written
