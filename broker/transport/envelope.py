"""The wire form of a turn: one line of JSON that says what the jobs are, then their bodies, byte for byte.

{"v":1,"route":"gpt-5-mini","interactive":false,"jobs":[ROW,…]}LF
body body …

    ROW   [batch, position, from_due, length of the body, url, custom_id]
          [batch, position, from_due, length of the body, url, custom_id, "drop"]    losses are to be dropped
          [batch, position, from_due]    a reference: the job is too large to travel, the manifest has it

Bodies are never parsed here. An unknown version is malformed for this reader: it must not guess.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from broker.domain.job import Endpoint, Job, JobKey
from broker.domain.loss import OnLoss
from broker.errors import BrokerError
from broker.transport.port import Turn

VERSION = 1
CONTENT_TYPE = "application/vnd.penstock.turn"
MOST_JOBS = 32
"""In one turn."""
INLINE_JOB_BYTES = 256 * 1024
"""Body and `custom_id` of a job that travels; a larger one is referred to."""
INLINE_TURN_BYTES = 4 * 1024 * 1024
"""Of all jobs of a turn together; those after it are referred to."""
_URLS = {endpoint: endpoint.value for endpoint in Endpoint}
_ENDPOINTS = {endpoint.value: endpoint for endpoint in Endpoint}
_LONGEST_INTEGER = 2**63


class MalformedEnvelope(BrokerError):
    """A message that is no turn, or of a version that this reader does not know."""

    code = "malformed_envelope"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A job that did not travel."""

    key: JobKey
    from_due: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A turn as it travelled."""

    route: str
    interactive: bool
    entries: tuple[Job | Reference, ...]

    @property
    def references(self) -> tuple[JobKey, ...]:
        """The jobs that have to be looked up before there is a turn."""
        return tuple(entry.key for entry in self.entries if isinstance(entry, Reference))

    def turn(self, found: Mapping[JobKey, Job]) -> Turn | None:
        """Put the turn together; jobs that were not found are left out, and `None` is a turn without any."""
        jobs = []
        for entry in self.entries:
            if isinstance(entry, Job):
                jobs.append(entry)
            elif (job := found.get(entry.key)) is not None:
                jobs.append(replace(job, route=self.route, from_due=entry.from_due))
        return Turn(route=self.route, jobs=tuple(jobs), interactive=self.interactive) if jobs else None


def encode(turn: Turn) -> bytes:
    """Pack a turn of 1 to 32 jobs."""
    if not 1 <= len(turn.jobs) <= MOST_JOBS:
        raise ValueError(f"a turn has 1 to {MOST_JOBS} jobs, not {len(turn.jobs)}")
    rows: list[tuple[object, ...]] = []
    bodies = []
    room = INLINE_TURN_BYTES
    for job in turn.jobs:
        batch_id, position = job.key
        size = len(job.body) + len(job.custom_id)
        if size > INLINE_JOB_BYTES or size > room:
            rows.append((batch_id, position, job.from_due))
            continue
        room -= size
        row = (batch_id, position, job.from_due, len(job.body), _URLS[job.endpoint], job.custom_id)
        rows.append(row if job.on_loss is OnLoss.FAIL else (*row, job.on_loss))
        bodies.append(job.body)
    head = {"v": VERSION, "route": turn.route, "interactive": turn.interactive, "jobs": rows}
    return b"\n".join((orjson.dumps(head), b"".join(bodies)))


def decode(payload: bytes) -> Envelope:
    """Unpack a message; raises `MalformedEnvelope`, and nothing else, whatever it is given."""
    line, feed, bodies = payload.partition(b"\n")
    if not feed:
        raise MalformedEnvelope("it has no line that says what the jobs are")
    try:
        head = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise MalformedEnvelope(f"its first line is no JSON: {error}") from error
    match head:
        case {"v": int(version)} if version != VERSION:
            raise MalformedEnvelope(f"version {version}; this reader knows version {VERSION}")
        case {"v": int(), "route": str(route), "interactive": bool(interactive), "jobs": [*rows]} if rows:
            if len(rows) > MOST_JOBS:
                raise MalformedEnvelope(f"{len(rows)} jobs; a turn has at most {MOST_JOBS}")
        case _:
            raise MalformedEnvelope("its first line does not say version, route, interactive and jobs")
    entries: list[Job | Reference] = []
    at = 0
    for row in rows:
        entry = _entry(row, route, bodies, at)
        if isinstance(entry, Job):
            at += len(entry.body)
        entries.append(entry)
    if at != len(bodies):
        raise MalformedEnvelope(f"{len(bodies)} bytes of bodies, of which the rows name {at}")
    return Envelope(route=route, interactive=interactive, entries=tuple(entries))


def _entry(row: Any, route: str, bodies: bytes, at: int) -> Job | Reference:
    match row:
        case [batch_id, position, bool(from_due)] if _natural(batch_id) and _natural(position):
            return Reference(key=JobKey(batch_id, position), from_due=from_due)
        case [batch_id, position, bool(from_due), length, str(url), str(custom_id), *rest] if (
            _natural(batch_id)
            and _natural(position)
            and _natural(length)
            and url in _ENDPOINTS
            and (not rest or rest == [OnLoss.DROP])
        ):
            body = bodies[at : at + length]
            if len(body) != length:
                raise MalformedEnvelope("it ends within a body")
            return Job(
                key=JobKey(batch_id, position),
                custom_id=custom_id,
                endpoint=_ENDPOINTS[url],
                route=route,
                body=body,
                on_loss=OnLoss.DROP if rest else OnLoss.FAIL,
                from_due=from_due,
            )
        case _:
            raise MalformedEnvelope("one of its rows is neither a job nor a reference")


def _natural(value: object) -> bool:
    return type(value) is int and 0 <= value < _LONGEST_INTEGER
