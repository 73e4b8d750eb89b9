"""Jobs out of segments: one cursor per batch and route, and look-ups of single jobs that are due again."""

from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Iterable

from broker.domain.job import Job, JobKey
from broker.store import manifest
from broker.store.engine import Database
from broker.store.manifest import SegmentRow
from broker.store.segment import read_segment, unpack_line

CACHED_SEGMENTS = 16
"""Decoded segments kept: 16 of up to 4 MiB."""
READ_AHEAD = 100
"""Jobs that a cursor takes out of a segment at once: more batches than cached segments must not decode for each job."""


class SegmentReader:
    """Decodes segments; the last few stay decoded, because jobs come back soon after their first turn."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lines: OrderedDict[tuple[int, int], list[bytes]] = OrderedDict()

    async def lines(self, batch_id: int, number: int) -> list[bytes]:
        """The lines of one segment, in feeding order."""
        key = (batch_id, number)
        if key not in self._lines:
            payload = await self._database.read(manifest.payload, batch_id, number)
            self._lines[key] = read_segment(payload)
            while len(self._lines) > CACHED_SEGMENTS:
                self._lines.popitem(last=False)
        self._lines.move_to_end(key)
        return self._lines[key]

    async def jobs(self, keys: Iterable[JobKey]) -> list[Job]:
        """Single jobs that are due again; one whose batch is gone is left out."""
        found = []
        for key in keys:
            for row in await self._database.read(manifest.segments_with, key.batch_id, key.position):
                line = _at(key.position, await self.lines(row.batch_id, row.number))
                if line is not None:
                    found.append(job_of(row.batch_id, row.route, line, from_due=True))
                    break
        return found


def _at(position: int, lines: list[bytes]) -> bytes | None:
    """The line of this position, if it is there: lines are in the order of their positions."""
    index = bisect_left(lines, position, key=lambda line: unpack_line(line).position)
    return lines[index] if index < len(lines) and unpack_line(lines[index]).position == position else None


class Cursor:
    """Walks the unfed jobs of one batch on one route."""

    def __init__(self, database: Database, reader: SegmentReader, batch_id: int, route: str) -> None:
        self._database = database
        self._reader = reader
        self._batch_id = batch_id
        self._route = route
        self._segment: SegmentRow | None = None
        self._number = -1
        self._fed = 0
        self._ahead: deque[bytes] = deque()

    async def next(self) -> Job | None:
        """The next job; `None` when every job of the segments that are in has been fed."""
        if self._segment is None or self._fed >= self._segment.jobs:
            self._segment = await self._database.read(manifest.next_unfed, self._batch_id, self._route, self._number)
            if self._segment is None:
                return None
            self._number, self._fed = self._segment.number, self._segment.fed
        if not self._ahead:
            lines = await self._reader.lines(self._batch_id, self._number)
            self._ahead.extend(lines[self._fed : self._fed + READ_AHEAD])
        job = job_of(self._batch_id, self._route, self._ahead.popleft())
        self._fed += 1
        return job

    def position(self) -> tuple[int, int, int]:
        """Batch, segment and jobs fed of it: what is written down once they are published."""
        return self._batch_id, self._number, self._fed


def job_of(batch_id: int, route: str, line: bytes, *, from_due: bool = False) -> Job:
    """One line of a segment as a job."""
    position, custom_id, endpoint, body, on_loss = unpack_line(line)
    return Job(
        key=JobKey(batch_id, position),
        custom_id=custom_id,
        endpoint=endpoint,
        route=route,
        body=body,
        on_loss=on_loss,
        from_due=from_due,
    )
