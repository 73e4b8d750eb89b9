"""Reads and writes embeddings requests."""

from typing import Any

from broker.domain.caps import Caps
from broker.domain.loss import LossClass
from broker.protocols.canonical.request import EmbeddingRequest, Unmapped
from broker.protocols.codec import Json, Written
from broker.protocols.fields import Object, string, unknown, whole
from broker.protocols.losses import Losses, MalformedRequest

PATH = "/embeddings"
_READ = frozenset({"model", "input", "dimensions", "output_dimension", "encoding_format", "user"})
_ENCODINGS = (None, "float", "base64")


def items_asked_for(request: Json) -> int | None:
    """How many vectors a request asks for; `None` when it does not say so in a way we know."""
    texts = request.get("input")
    if isinstance(texts, str):
        return 1
    if not isinstance(texts, list) or not texts:
        return None
    return 1 if type(texts[0]) is int else len(texts)  # a list of token ids is one text


def read_request(body: Object) -> EmbeddingRequest:
    """Read a body; raises `MalformedRequest`."""
    if body.get("encoding_format") not in _ENCODINGS:
        raise MalformedRequest("/encoding_format", "must be float or base64")
    texts, paths, unmapped = _inputs(body.get("input"))
    wanted = "dimensions" if body.get("dimensions") is not None else "output_dimension"  # Mistral's word
    return EmbeddingRequest(
        inputs=texts,
        input_paths=paths,
        dimensions=whole(body, wanted),
        user_id=string(body, "user"),
        unmapped=(*unmapped, *unknown(body, _READ)),
        pointers={"dimensions": f"/{wanted}", "user_id": "/user"},
    )


def _inputs(value: Any) -> tuple[tuple[str, ...], tuple[str, ...], list[Unmapped]]:
    if isinstance(value, str):
        return (value,), ("/input",), []
    if not isinstance(value, list) or not value:
        raise MalformedRequest("/input", "must be a string, or an array of strings that is not empty")
    if all(isinstance(text, str) for text in value):
        return tuple(value), tuple(f"/input/{index}" for index in range(len(value))), []
    tokens = [entry for entry in value if not isinstance(entry, str)]
    if all(type(entry) is int or isinstance(entry, list) for entry in tokens):
        what = "token ids mean something to OpenAI's tokenizer only; give the text"
        lost = Unmapped(path="/input", code="token_ids", detail=what, loss_class=LossClass.CONTENT)
        return (), (), [lost]
    raise MalformedRequest("/input", "must be a string, or an array of strings or token ids")


def write_request(request: EmbeddingRequest, *, model: str, caps: Caps, losses: Losses) -> Written:
    """Write a request."""
    body: dict[str, object] = {"model": model, "input": list(request.inputs), "encoding_format": "float"}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    if request.user_id is not None:
        if caps.identity:
            body["user"] = request.user_id
        else:
            losses.hint(request.pointer("user_id"), "unsupported_field", "user is not taken by the target")
    return Written(body=body, path=PATH)
