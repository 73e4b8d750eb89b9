"""Packs accepted rows into segments, each the jobs of one route as zstd-compressed JSON lines.

A line is `{"position":7,"custom_id":"a","url":"/v1/…","body":…}`: plain JSON, written and read by concatenation,
so that the body stays byte for byte.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson
import zstandard

from broker.domain.job import Endpoint
from broker.errors import StoreError
from broker.intake.jsonl import Row

MAX_JOBS = 1_000
MAX_BYTES = 4 * 1024 * 1024
MAX_OPEN_BYTES = 16 * 1024 * 1024
"""Over all routes."""
_LEVEL = 3
_URLS = {endpoint: endpoint.value.encode() for endpoint in Endpoint}
_ENDPOINTS = {endpoint.value: endpoint for endpoint in Endpoint}
_BEFORE_BODY = b',"body":'


class SegmentJob(NamedTuple):
    """One line of a segment."""

    position: int
    custom_id: str
    endpoint: Endpoint
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentDraft:
    """A segment that is ready to be stored."""

    route: str
    count: int
    first_position: int
    payload: bytes
    """The lines, joined by line feeds, compressed."""
    raw_bytes: int
    """Of the lines before compression."""


@dataclass(slots=True)
class _OpenSegment:
    first_position: int
    lines: list[bytes] = field(default_factory=list)
    raw_bytes: int = 0


class SegmentPacker:
    """Collects rows by route; hands out a segment as soon as it is full, or the largest when too much is open.

    Positions grow within a segment; segments of different routes come in the order in which they filled up.
    """

    def __init__(
        self, *, max_jobs: int = MAX_JOBS, max_bytes: int = MAX_BYTES, max_open_bytes: int = MAX_OPEN_BYTES
    ) -> None:
        self._max_jobs = max_jobs
        self._max_bytes = max_bytes
        self._max_open_bytes = max_open_bytes
        self._open: dict[str, _OpenSegment] = {}
        self._open_bytes = 0
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)

    def add(self, row: Row) -> Sequence[SegmentDraft]:
        """Take one row; returns what is ready, mostly nothing. A row above `max_bytes` gets a segment of its own."""
        line = pack_line(row.position, row.custom_id, row.endpoint, row.body)
        size = len(line) + 1
        segment = self._open.get(row.model)
        ready: list[SegmentDraft] = []
        if segment is not None and segment.raw_bytes + size > self._max_bytes:
            ready.append(self._closed(row.model))
            segment = None
        if segment is None:
            segment = self._open[row.model] = _OpenSegment(row.position)
        segment.lines.append(line)
        segment.raw_bytes += size
        self._open_bytes += size
        if len(segment.lines) >= self._max_jobs or segment.raw_bytes >= self._max_bytes:
            ready.append(self._closed(row.model))
        while self._open_bytes > self._max_open_bytes:
            ready.append(self._closed(max(self._open, key=lambda route: self._open[route].raw_bytes)))
        return ready

    def finish(self) -> Iterator[SegmentDraft]:
        """What is still open, by first position."""
        for route in sorted(self._open, key=lambda route: self._open[route].first_position):
            yield self._closed(route)

    def _closed(self, route: str) -> SegmentDraft:
        segment = self._open.pop(route)
        self._open_bytes -= segment.raw_bytes
        raw = b"\n".join(segment.lines)
        return SegmentDraft(
            route=route,
            count=len(segment.lines),
            first_position=segment.first_position,
            payload=self._compressor.compress(raw),
            raw_bytes=len(raw),
        )


def read_segment(payload: bytes) -> list[bytes]:
    """The lines of a segment, for `unpack_line`; raises `StoreError` when the payload is damaged."""
    try:
        return zstandard.ZstdDecompressor().decompress(payload).split(b"\n")
    except zstandard.ZstdError as error:
        raise StoreError(f"a segment cannot be unpacked: {error}") from error


def pack_line(position: int, custom_id: str, endpoint: Endpoint, body: bytes) -> bytes:
    """One line of a segment; `body` is a JSON value without line feeds."""
    return b'{"position":%d,"custom_id":%b,"url":"%b","body":%b}' % (
        position,
        orjson.dumps(custom_id),
        _URLS[endpoint],
        body,
    )


def unpack_line(line: bytes) -> SegmentJob:
    """The inverse of `pack_line`.

    The first `,"body":` is the one that was written there: in the `custom_id` before it every quote is escaped.
    """
    at = line.index(_BEFORE_BODY)
    head = orjson.loads(line[:at] + b"}")
    return SegmentJob(head["position"], head["custom_id"], _ENDPOINTS[head["url"]], line[at + len(_BEFORE_BODY) : -1])
