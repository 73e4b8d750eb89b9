"""Packs accepted rows into segments of one route each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from broker.domain.loss import OnLoss
from broker.intake.jsonl import Row
from broker.store.segment import SegmentDraft, SegmentWriter, pack_line

MAX_JOBS = 1_000
MAX_BYTES = 4 * 1024 * 1024
MAX_OPEN_BYTES = 16 * 1024 * 1024
"""Over all routes."""


@dataclass(slots=True)
class _OpenSegment:
    first_position: int
    last_position: int
    lines: list[bytes] = field(default_factory=list)
    raw_bytes: int = 0


class SegmentPacker:
    """Collects rows by route; hands out a segment as soon as it is full, or the largest when too much is open.

    Positions grow within a segment; segments of different routes come in the order in which they filled up.
    """

    def __init__(
        self,
        on_loss: OnLoss = OnLoss.FAIL,
        *,
        max_jobs: int = MAX_JOBS,
        max_bytes: int = MAX_BYTES,
        max_open_bytes: int = MAX_OPEN_BYTES,
    ) -> None:
        """`on_loss` is what the batch of all these rows says."""
        self._on_loss = on_loss
        self._max_jobs = max_jobs
        self._max_bytes = max_bytes
        self._max_open_bytes = max_open_bytes
        self._open: dict[str, _OpenSegment] = {}
        self._open_bytes = 0
        self._writer = SegmentWriter()

    def add(self, row: Row) -> Sequence[SegmentDraft]:
        """Take one row; returns what is ready, mostly nothing. A row above `max_bytes` gets a segment of its own."""
        line = pack_line(row.position, row.custom_id, row.endpoint, row.body, self._on_loss)
        size = len(line) + 1
        segment = self._open.get(row.model)
        ready: list[SegmentDraft] = []
        if segment is not None and segment.raw_bytes + size > self._max_bytes:
            ready.append(self._closed(row.model))
            segment = None
        if segment is None:
            segment = self._open[row.model] = _OpenSegment(row.position, row.position)
        segment.lines.append(line)
        segment.last_position = row.position
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
        return self._writer.draft(route, segment.first_position, segment.last_position, segment.lines)
