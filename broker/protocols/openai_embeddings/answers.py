"""Reads and writes lists of embeddings."""

import binascii
import struct
from base64 import b64decode, b64encode
from typing import Any

from broker.domain.usage import NO_USAGE, Usage, UsageSource
from broker.protocols.canonical.answer import Answer
from broker.protocols.codec import Embedded, Json
from broker.protocols.indexes import index_fault
from broker.protocols.printable import printable
from broker.protocols.token_counts import tokens

_NUMBERS = ({float}, {int}, {float, int})


def fault_of(value: Json, items: int | None) -> str | Embedded | None:
    """Say what keeps this object from being an answer, or give the error that stands in place of one."""
    error = value.get("error")
    if error or value.get("object") == "error":
        return Embedded(error=error or value)
    data = value.get("data")
    if not isinstance(data, list) or not data:
        return "no embeddings"
    if items is not None and len(data) != items:
        return f"{len(data)} embeddings where {items} were asked for"
    sizes = set()
    for entry in data:
        size = _dimensions(entry.get("embedding")) if isinstance(entry, dict) else 0
        if not size:
            return "an embedding is no vector"
        sizes.add(size)
    return index_fault(data) if len(sizes) == 1 else "embeddings of different lengths"


def _dimensions(vector: object) -> int:
    """Count the dimensions of a list of numbers, or of base64 of little-endian float32; 0 is no vector."""
    if isinstance(vector, list):
        return len(vector) if set(map(type, vector)) in _NUMBERS else 0
    if not isinstance(vector, str):
        return 0
    try:
        count, rest = divmod(len(binascii.a2b_base64(vector, strict_mode=True)), 4)
    except (binascii.Error, ValueError):
        return 0
    return 0 if rest else count


def read_usage(value: Json, *, details_default_zero: bool) -> Usage:  # noqa: ARG001  (nothing is cached or generated)
    """Read the usage: input only."""
    reported = value.get("usage")
    given = tokens(reported.get("prompt_tokens")) if isinstance(reported, dict) else None
    if given is None:
        return NO_USAGE
    return Usage(
        input_tokens=given,
        cache_read_tokens=0,
        cache_write_tokens=0,
        output_tokens=0,
        reasoning_tokens=0,
        source=UsageSource.REPORTED,
    )


def read_answer(value: Json, usage: Usage) -> Answer:
    """Read a list that has no fault, in the order of the inputs."""
    data: list[dict[str, Any]] = value["data"]  # type: ignore[assignment]  # it has no fault
    raw = value.get("usage")
    return Answer(
        model=printable(value.get("model")),
        embeddings=tuple(
            _vector(entry["embedding"]) for entry in sorted(data, key=lambda entry: entry.get("index", 0))
        ),
        usage=usage,
        usage_raw=raw if isinstance(raw, dict) else None,
        notes=() if usage.source is UsageSource.REPORTED else ("usage_missing",),
    )


def _vector(value: object) -> tuple[float, ...]:
    if isinstance(value, str):
        raw = b64decode(value)
        return struct.unpack(f"<{len(raw) // 4}f", raw)
    return tuple(value) if isinstance(value, list) else ()


def write_answer(answer: Answer, request: Json | None) -> dict[str, object]:
    """Write a list; as base64 of little-endian float32 where the producer asked for that, as OpenAI's client does."""
    as_base64 = request is not None and request.get("encoding_format") == "base64"
    asked = request.get("model") if request is not None else None
    given = answer.usage.input_tokens
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _base64(vector) if as_base64 else list(vector)}
            for index, vector in enumerate(answer.embeddings)
        ],
        "model": answer.model or asked or "",
        # The one dialect that demands usage; where nobody knows it, zero would be a lie, so our own ledger says so
        "usage": {"prompt_tokens": given or 0, "total_tokens": given or 0},
    }


def _base64(vector: tuple[float, ...]) -> str:
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
