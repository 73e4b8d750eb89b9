"""Writes the answer that a producer would have got from Gemini itself."""

from collections.abc import Iterator
from typing import Any

from broker.protocols.canonical.answer import Answer, Finish, Output
from broker.protocols.canonical.parts import CallPart, Inline, MediaPart, Part, ReasoningPart, RefusalPart, TextPart
from broker.protocols.codec import Json
from broker.protocols.gemini_generate_content.finish import write_finish
from broker.protocols.gemini_generate_content.logprobs import write_logprobs
from broker.protocols.gemini_generate_content.paths import EMBED, method_of
from broker.protocols.gemini_generate_content.usage import write_usage
from broker.protocols.tool_arguments import UNPARSABLE_KEY


def write_answer(answer: Answer, request: Json | None) -> dict[str, object]:
    """Write an answer; `request` tells whether one vector was asked for, and whether thoughts are to be seen."""
    usage = write_usage(answer.usage)
    if answer.embeddings:
        body = _embeddings(answer, request)
        if usage is not None:
            body["usageMetadata"] = usage
        return body
    thoughts = request is None or _shows_thoughts(request)
    body = {"candidates": [_candidate(output, thoughts=thoughts) for output in answer.outputs]}
    if usage is not None:
        body["usageMetadata"] = usage
    if answer.model is not None:
        body["modelVersion"] = answer.model
    if answer.id is not None:
        body["responseId"] = answer.id
    return body


def _embeddings(answer: Answer, request: Json | None) -> dict[str, object]:
    vectors = [{"values": list(vector)} for vector in answer.embeddings]
    if request is not None and method_of(request) == EMBED:
        return {"embedding": vectors[0]}
    return {"embeddings": vectors}


def _shows_thoughts(request: Json) -> bool:
    """Whether the producer asked to see thoughts."""
    config: Any = request.get("generationConfig", request.get("generation_config"))
    thinking: Any = None
    if isinstance(config, dict):
        thinking = config.get("thinkingConfig", config.get("thinking_config"))
    if not isinstance(thinking, dict):
        return False
    return thinking.get("includeThoughts", thinking.get("include_thoughts")) is True


def _candidate(output: Output, *, thoughts: bool) -> dict[str, object]:
    content: dict[str, object] = {"role": "model"}
    parts = [written for part in output.parts for written in _part(part, thoughts=thoughts)]
    if not parts and output.finish in (Finish.STOP, Finish.STOP_SEQUENCE):
        parts = [{"text": ""}]  # an end without parts would be read as an answer that was lost
    if parts:
        content["parts"] = parts
    candidate: dict[str, object] = {
        "content": content,
        "finishReason": write_finish(output.finish),
        "index": output.index,
    }
    logprobs = None if output.logprobs is None else write_logprobs(output.logprobs)
    if logprobs is not None:
        candidate["logprobsResult"] = logprobs
    return candidate


def _part(part: Part, *, thoughts: bool) -> Iterator[dict[str, object]]:
    match part:
        case TextPart(text=text) | RefusalPart(text=text):
            yield {"text": text}
        case ReasoningPart(text=text):
            if thoughts and text:
                yield {"text": text, "thought": True}
        case CallPart():
            yield _call(part)
        case MediaPart(source=Inline(mime=mime, data=data)):
            yield {"inlineData": {"mimeType": mime, "data": data}}
        case _:
            pass  # what another vendor's own tools did is told by the text that follows from it


def _call(call: CallPart) -> dict[str, object]:
    arguments = {UNPARSABLE_KEY: call.arguments_text} if call.arguments is None else call.arguments
    part: dict[str, object] = {"functionCall": {"id": call.id, "name": call.name, "args": arguments}}
    if call.signature is not None:
        part["thoughtSignature"] = call.signature
    return part
