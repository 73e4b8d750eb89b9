"""Reads `generationConfig`: sampling, limits, and the form of the answer."""

from dataclasses import dataclass, field

from broker.domain.loss import LossClass
from broker.protocols.canonical.request import NO_SAMPLING, Format, FormatKind, Reasoning, Sampling, Unmapped
from broker.protocols.gemini_generate_content.proto_json import Message
from broker.protocols.gemini_generate_content.schema import json_schema
from broker.protocols.gemini_generate_content.thinking import read_thinking
from broker.protocols.losses import MalformedRequest

_FIELDS = {
    "max_output_tokens": "maxOutputTokens",
    "stop": "stopSequences",
    "n": "candidateCount",
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
"""Names of the canonical form, and Gemini's."""
_NAMES = {field: name for name, field in _FIELDS.items()}
_SCHEMAS = ("responseSchema", "responseJsonSchema", "_responseJsonSchema")
_HINTS = {"mediaResolution": "how closely to look at images is left to the model"}
_OWN = {
    "speechConfig": "answers in sound are Gemini's own",
    "imageConfig": "answers in images are Gemini's own",
    "audioTimestamp": "timestamps in recordings are Gemini's own",
    "audioTranscriptionConfig": "transcripts are Gemini's own",
    "routingConfig": "which model is asked is settled by now",
    "modelSelectionConfig": "which model is asked is settled by now",
    "enableEnhancedCivicAnswers": "civic answers are Gemini's own",
    "enableAffectiveDialog": "affective dialogs are Gemini's own",
    "responseFormat": "formats of several media are Gemini's own",
}
_KNOWN = frozenset(
    {*_FIELDS.values(), *_SCHEMAS, *_HINTS, *_OWN, "responseMimeType", "responseModalities", "thinkingConfig"}
)
_TEXT, _JSON, _ENUM = "text/plain", "application/json", "text/x.enum"


@dataclass(slots=True, kw_only=True)
class Generation:
    """What a `generationConfig` says."""

    sampling: Sampling = NO_SAMPLING
    max_output_tokens: int | None = None
    stop: tuple[str, ...] = ()
    n: int = 1
    format: Format | None = None
    reasoning: Reasoning | None = None
    pointers: dict[str, str] = field(default_factory=dict)


def read_generation(body: Message, unmapped: list[Unmapped]) -> Generation:
    """Read the configuration; raises `MalformedRequest`."""
    config = body.message("generationConfig")
    if config is None:
        return Generation()
    unmapped += config.unknown(_KNOWN)
    if not _UNSAID.isdisjoint(config.members):
        unmapped += _left_over(config)
    n = config.whole("candidateCount") or 1
    if n < 1:
        raise MalformedRequest(config.at("candidateCount"), "must be at least 1")
    return Generation(
        sampling=_sampling(config),
        max_output_tokens=config.whole("maxOutputTokens"),
        stop=config.strings("stopSequences"),
        n=n,
        format=_format(config, unmapped),
        reasoning=read_thinking(config, unmapped),
        pointers={_NAMES[field]: config.at(field) for field in config.members if field in _NAMES},
    )


_UNSAID = frozenset({*_HINTS, *_OWN, "responseModalities"})


def _left_over(config: Message) -> list[Unmapped]:
    found = []
    for name, detail in _HINTS.items():
        found += config.unsupported(name, detail, LossClass.HINT)
    for name, detail in _OWN.items():
        found += config.unsupported(name, detail, LossClass.SAMPLING)
    modalities = [modality.upper() for modality in config.strings("responseModalities")]
    if any(modality not in ("TEXT", "MODALITY_UNSPECIFIED") for modality in modalities):
        found += config.unsupported("responseModalities", "only answers in text can be translated", LossClass.CONTENT)
    return found


def _sampling(config: Message) -> Sampling:
    return Sampling(
        temperature=config.number("temperature"),
        top_p=config.number("topP"),
        top_k=config.whole("topK"),
        seed=config.whole("seed"),
        presence_penalty=config.number("presencePenalty"),
        frequency_penalty=config.number("frequencyPenalty"),
        logprobs=config.flag("responseLogprobs"),
        top_logprobs=config.whole("logprobs"),
    )


def _format(config: Message, unmapped: list[Unmapped]) -> Format | None:
    mime = config.string("responseMimeType")
    said = [name for name in _SCHEMAS if config.has(name)]
    if len(said) > 1:
        raise MalformedRequest(config.at(said[1]), f"stands beside {said[0]}; only one may be set")
    if mime == _ENUM:
        what = "an answer that is one of a few words is Gemini's own"
        unmapped += config.unsupported("responseMimeType", what, LossClass.SAMPLING)
        return None
    if mime and mime not in (_TEXT, _JSON):
        raise MalformedRequest(config.at("responseMimeType"), f"must be {_TEXT}, {_JSON} or {_ENUM}")
    if said:
        return Format(kind=FormatKind.JSON_SCHEMA, schema=_schema(config, said[0]), path=config.at(said[0]))
    if mime == _JSON:
        return Format(kind=FormatKind.JSON_OBJECT, path=config.at("responseMimeType"))
    return Format(kind=FormatKind.TEXT, path=config.at("responseMimeType")) if mime else None


def _schema(config: Message, name: str) -> dict[str, object]:
    schema = config.object(name) or {}
    return json_schema(schema, config.at(name)) if name == "responseSchema" else schema
