"""Writes `generationConfig`: limits, sampling, the form of the answer, thinking."""

from collections.abc import Iterator

from broker.domain.caps import Caps
from broker.protocols.canonical.request import NO_SAMPLING, Format, FormatKind, Request
from broker.protocols.gemini_generate_content.openapi import openapi, unheeded
from broker.protocols.gemini_generate_content.thinking import write_thinking
from broker.protocols.gemini_generate_content.tools import JSON_SCHEMA_FIELD
from broker.protocols.losses import Losses
from broker.protocols.neutral import leave_out

_MOST_STOPS = 5
_MOST_CANDIDATES = 8
_LEAST_SEED, _LARGEST_SEED = -(2**31), 2**31 - 1
_JSON = "application/json"


def choices_of(request: Request, caps: Caps) -> bool:
    """Whether one call gives all the answers that are asked for."""
    return request.n == 1 or (caps.choices and request.n <= _MOST_CANDIDATES)


def write_config(request: Request, caps: Caps, losses: Losses) -> dict[str, object]:
    """Write the configuration; empty where there is nothing to say."""
    config: dict[str, object] = {}
    if request.max_output_tokens is not None:
        config["maxOutputTokens"] = _limit(request, request.max_output_tokens, caps, losses)
    if request.sampling is not NO_SAMPLING:
        config.update(_sampling(request, caps, losses))
    if request.stop:
        config.update(_stop(request, caps, losses))
    if request.n > 1:
        if choices_of(request, caps):
            config["candidateCount"] = request.n
        else:
            losses.converted(request.pointer("n"), "fan_out", f"{request.n} answers are asked for one at a time")
    if request.format is not None and request.format.kind is not FormatKind.TEXT:
        config.update(_format(request.format, caps, losses))
    if request.reasoning is not None:
        thinking = write_thinking(request.reasoning, caps, losses)
        if thinking:
            config["thinkingConfig"] = thinking
    return config


def _limit(request: Request, wanted: int, caps: Caps, losses: Losses) -> int:
    most = caps.max_output_tokens
    if most is None or wanted <= most:
        return wanted
    losses.sampling(request.pointer("max_output_tokens"), "clamped", f"the target generates up to {most} tokens")
    return most


def _sampling(request: Request, caps: Caps, losses: Losses) -> Iterator[tuple[str, object]]:
    sampling = request.sampling
    for name, field, value, takes in (
        ("temperature", "temperature", sampling.temperature, caps.sampling),
        ("top_p", "topP", sampling.top_p, caps.sampling),
        ("top_k", "topK", sampling.top_k, caps.sampling),
        ("seed", "seed", sampling.seed, caps.seed),
        ("presence_penalty", "presencePenalty", sampling.presence_penalty, caps.penalties),
        ("frequency_penalty", "frequencyPenalty", sampling.frequency_penalty, caps.penalties),
        ("logprobs", "responseLogprobs", sampling.logprobs, caps.logprobs or not sampling.logprobs),
        ("top_logprobs", "logprobs", sampling.top_logprobs, caps.logprobs),
        ("logit_bias", "", sampling.logit_bias, False),
        ("verbosity", "", sampling.verbosity, False),
    ):
        if value is None:
            continue
        if not takes:
            leave_out(request, name, f"{name} is not taken by the target", losses)
        elif name == "temperature" and value > caps.temperature_max:  # type: ignore[operator]  # it is a number
            what = f"the target takes a temperature up to {caps.temperature_max:g}"
            losses.sampling(request.pointer(name), "clamped", what)
            yield field, caps.temperature_max
        elif name == "seed" and not _LEAST_SEED <= value <= _LARGEST_SEED:  # type: ignore[operator]  # it is a number
            losses.sampling(request.pointer(name), "out_of_range", "the target takes a seed of 32 bits")
        else:
            yield field, value


def _stop(request: Request, caps: Caps, losses: Losses) -> Iterator[tuple[str, object]]:
    if not caps.stop:
        losses.sampling(request.pointer("stop"), "unsupported_field", "the target takes no stop sequences")
        return
    stops = [stop for stop in request.stop if stop]
    if len(stops) < len(request.stop):
        losses.sampling(request.pointer("stop"), "blank_stop", "an empty stop sequence is not taken by the target")
    if len(stops) > _MOST_STOPS:
        losses.sampling(request.pointer("stop"), "clamped", f"the target takes {_MOST_STOPS} stop sequences")
    if stops:
        yield "stopSequences", stops[:_MOST_STOPS]


def _format(wanted: Format, caps: Caps, losses: Losses) -> Iterator[tuple[str, object]]:
    if wanted.kind is FormatKind.JSON_OBJECT or wanted.schema is None:
        yield "responseMimeType", _JSON
        return
    if not caps.structured_output:
        losses.sampling(wanted.path, "unsupported_field", "the target does not follow a JSON schema")
        return
    if wanted.description:
        losses.hint(wanted.path, "description_dropped", "what a format is for is not told to Gemini")
    yield "responseMimeType", _JSON
    lost = unheeded(wanted.schema)
    if caps.schema_field == JSON_SCHEMA_FIELD:
        schema: object = wanted.schema
    else:
        lost = set()
        schema = openapi(wanted.schema, lost)
    if lost:
        what = f"the target does not heed {', '.join(sorted(lost))} in a schema"
        losses.sampling(wanted.path, "schema_keyword", what)
    yield caps.schema_field, schema
