"""How a segment is written: the jobs of one route as zstd-compressed JSON lines.

A line is `{"position":7,"custom_id":"a","url":"/v1/…","body":…}`: plain JSON, written and read by concatenation,
so that the body stays byte for byte. Where losses are to be dropped, `"on_loss":"drop"` stands before the body.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson
import zstandard

from broker.domain.job import Endpoint
from broker.domain.loss import OnLoss
from broker.errors import StoreError

_LEVEL = 3
_URLS = {endpoint: endpoint.value.encode() for endpoint in Endpoint}
_ENDPOINTS = {endpoint.value: endpoint for endpoint in Endpoint}
_BEFORE_BODY = b',"body":'
_ON_LOSS = {OnLoss.FAIL: b"", OnLoss.DROP: b',"on_loss":"drop"'}


class SegmentJob(NamedTuple):
    """One line of a segment."""

    position: int
    custom_id: str
    endpoint: Endpoint
    body: bytes
    on_loss: OnLoss = OnLoss.FAIL


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentDraft:
    """A segment that is ready to be stored; positions grow within it."""

    route: str
    count: int
    first_position: int
    last_position: int
    payload: bytes
    raw_bytes: int
    """Of the lines before compression."""


class SegmentWriter:
    """Compresses lines; one per thread."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)

    def draft(self, route: str, first_position: int, last_position: int, lines: Sequence[bytes]) -> SegmentDraft:
        raw = b"\n".join(lines)
        return SegmentDraft(
            route=route,
            count=len(lines),
            first_position=first_position,
            last_position=last_position,
            payload=self._compressor.compress(raw),
            raw_bytes=len(raw),
        )


def read_segment(payload: bytes) -> list[bytes]:
    """The lines of a segment, for `unpack_line`; raises `StoreError` when the payload is damaged."""
    try:
        return zstandard.ZstdDecompressor().decompress(payload).split(b"\n")
    except zstandard.ZstdError as error:
        raise StoreError(f"a segment cannot be unpacked: {error}") from error


def pack_line(position: int, custom_id: str, endpoint: Endpoint, body: bytes, on_loss: OnLoss = OnLoss.FAIL) -> bytes:
    """One line of a segment; `body` is a JSON value without line feeds."""
    return b'{"position":%d,"custom_id":%b,"url":"%b"%b,"body":%b}' % (
        position,
        orjson.dumps(custom_id),
        _URLS[endpoint],
        _ON_LOSS[on_loss],
        body,
    )


def unpack_line(line: bytes) -> SegmentJob:
    """The inverse of `pack_line`.

    The first `,"body":` is the one that was written there: in the `custom_id` before it every quote is escaped.
    """
    at = line.index(_BEFORE_BODY)
    head = orjson.loads(line[:at] + b"}")
    return SegmentJob(
        head["position"],
        head["custom_id"],
        _ENDPOINTS[head["url"]],
        line[at + len(_BEFORE_BODY) : -1],
        OnLoss(head["on_loss"]) if "on_loss" in head else OnLoss.FAIL,
    )
