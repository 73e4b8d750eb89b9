"""Embeddings: reads requests and writes answers."""

import struct
from base64 import b64encode

import orjson
from pydantic import JsonValue

from workers.provider_sim.answers import expected_embedding, tokens_of
from workers.provider_sim.call import EmbeddingCall
from workers.provider_sim.generation import Generated
from workers.provider_sim.openai.errors import invalid_value
from workers.provider_sim.openai.values import or_else, whole
from workers.provider_sim.vendor import Body, Issue

_MOST_DIMENSIONS = 4096


def read_embeddings(model: str, body: Body, default_dimensions: int) -> EmbeddingCall:
    """Read an embeddings request; raises `Refused`."""
    inputs, tokens = _inputs(body.get("input"))
    encoding = or_else(body.get("encoding_format"), "float")
    if encoding not in ("float", "base64"):
        raise invalid_value("encoding_format", "expected 'float' or 'base64'")
    return EmbeddingCall(
        model=model,
        inputs=inputs,
        input_tokens=tokens,
        dimensions=whole("dimensions", or_else(body.get("dimensions"), default_dimensions), most=_MOST_DIMENSIONS),
        as_base64=encoding == "base64",
    )


def embedding_list(call: EmbeddingCall, generated: Generated, issue: Issue) -> bytes:
    """Return a `list` of embeddings, in the order of the inputs."""
    body: dict[str, JsonValue] = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _vector(text, call)}
            for index, text in enumerate(call.inputs)
        ],
        "model": call.model,
    }
    if issue.says_usage:
        body["usage"] = {"prompt_tokens": generated.input_tokens, "total_tokens": generated.input_tokens}
    return orjson.dumps(body)


def _vector(text: str, call: EmbeddingCall) -> JsonValue:
    numbers = expected_embedding(text, call.dimensions)
    if call.as_base64:
        return b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
    return list(numbers)


def _inputs(value: JsonValue) -> tuple[tuple[str, ...], int]:
    """Return each input as text, and the tokens of all; token ids become text so that they too have an answer."""
    is_list_of_many = isinstance(value, list) and not all(_is_token(item) for item in value)
    inputs, tokens = [], 0
    for item in value if isinstance(value, list) and is_list_of_many else [value]:
        if isinstance(item, str) and item:
            inputs.append(item)
            tokens += tokens_of(item)
        elif isinstance(item, list) and item and all(_is_token(token) for token in item):
            inputs.append(",".join(str(token) for token in item))
            tokens += len(item)
        else:
            raise invalid_value("input", "expected a string, strings, tokens or arrays of tokens, none of them empty")
    return tuple(inputs), tokens


def _is_token(value: JsonValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
