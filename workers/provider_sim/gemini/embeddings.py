"""Embeddings, one content at a time or many: reads requests and writes answers."""

from collections.abc import Mapping, Sequence

import orjson
from pydantic import JsonValue

from workers.provider_sim.answers import expected_embedding
from workers.provider_sim.call import EmbeddingCall
from workers.provider_sim.gemini import fields
from workers.provider_sim.gemini.errors import refused
from workers.provider_sim.gemini.proto_json import camel_case, message, messages, whole
from workers.provider_sim.generation import Generated
from workers.provider_sim.prompts import text_of
from workers.provider_sim.vendor import Body, Issue

_MOST_DIMENSIONS = 4096
_MOST_REQUESTS = 100


def read_one(model: str, given: Body, default_dimensions: int) -> EmbeddingCall:
    """Read a request for the embedding of one content; raises `Refused`."""
    body = message(camel_case(given), "", fields.EMBED)
    return _call(model, [body], default_dimensions)


def read_many(model: str, given: Body, default_dimensions: int) -> EmbeddingCall:
    """Read a request for the embeddings of many contents; raises `Refused`."""
    body = message(camel_case(given), "", fields.BATCH_EMBED)
    requests = messages(body.get("requests") or [], "requests", fields.EMBED)
    if not requests:
        raise refused("* BatchEmbedContentsRequest.requests: must not be empty")
    if len(requests) > _MOST_REQUESTS:
        raise refused(f"* BatchEmbedContentsRequest.requests: at most {_MOST_REQUESTS} requests can be in one batch")
    for index, request in enumerate(requests):
        if request.get("model") != f"models/{model}":
            raise refused(f"* BatchEmbedContentsRequest.requests[{index}].model: must match the model of the batch")
    return _call(model, requests, default_dimensions)


def _call(model: str, requests: Sequence[Mapping[str, JsonValue]], default_dimensions: int) -> EmbeddingCall:
    texts, tokens, sizes = [], 0, set()
    for index, request in enumerate(requests):
        place = f"requests[{index}]"
        content = message(request.get("content"), f"{place}.content", fields.CONTENT)
        parts = messages(content.get("parts") or [], f"{place}.content.parts", fields.PART)
        text, size = text_of([dict(part) for part in parts])
        if not text:
            raise refused(f"* {place}.content: must not be empty")
        texts.append(text)
        tokens += size
        asked = request.get("outputDimensionality")
        place = f"{place}.output_dimensionality"
        sizes.add(default_dimensions if asked is None else whole(asked, place, least=1, most=_MOST_DIMENSIONS))
    if len(sizes) > 1:
        raise refused("Different output dimensionalities in one batch are not simulated.")
    return EmbeddingCall(model=model, inputs=tuple(texts), input_tokens=tokens, dimensions=min(sizes))


def one(call: EmbeddingCall, generated: Generated, issue: Issue) -> bytes:
    """Return the embedding of one content."""
    return orjson.dumps({"embedding": _values(call.inputs[0], call)} | _usage(generated, issue))


def many(call: EmbeddingCall, generated: Generated, issue: Issue) -> bytes:
    """Return the embeddings in the order of the contents."""
    return orjson.dumps({"embeddings": [_values(text, call) for text in call.inputs]} | _usage(generated, issue))


def _values(text: str, call: EmbeddingCall) -> JsonValue:
    return {"values": list(expected_embedding(text, call.dimensions))}


def _usage(generated: Generated, issue: Issue) -> dict[str, JsonValue]:
    return {"usageMetadata": {"promptTokenCount": generated.input_tokens}} if issue.says_usage else {}
