"""Results as messages."""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from broker.delivery.amqp import shapes
from broker.delivery.result_lines import writer_of
from broker.domain.result import ResultLine
from broker.store.subscriptions import Backlog

MOST_BYTES = 8 * 1024 * 1024
"""Of one message. RabbitMQ 4 takes 16 MiB, and closes the channel of whoever sends more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message for a subscriber; `seq` is where its cursor stands once it is confirmed."""

    seq: int
    kind: str
    message_id: str
    headers: Mapping[str, str | int]
    body: bytes


def result(of: Backlog, line: ResultLine, *, most_bytes: int = MOST_BYTES) -> Outgoing:
    """One result; an answer that is too large to be sent is named, and stays to be read elsewhere."""
    write_line = writer_of(of.form)
    body = write_line(line).rstrip(b"\n")
    if len(body) > most_bytes:
        instead = line._replace(
            body=None,
            error_code="result_too_large",
            error_message=f"the result has {len(body):,} bytes; read it with `penstock results {line.batch_id}`",
        )
        body = write_line(instead).rstrip(b"\n")
    return _outgoing(of, line.seq, shapes.RESULT, body, position=line.position)


def ended(of: Backlog) -> Outgoing:
    """The end of a batch, one `seq` behind its last result."""
    counts = of.counts
    event = shapes.BatchEnded(
        batch_id=of.batch_id,
        batch=of.batch,
        state=of.state,
        counts=shapes.EndCounts(
            total=counts.total,
            succeeded=counts.succeeded,
            failed=counts.failed,
            cancelled=counts.cancelled,
            expired=counts.expired,
        ),
    )
    return _outgoing(of, counts.finished + 1, shapes.BATCH_ENDED, orjson.dumps(event.model_dump()))


def _outgoing(of: Backlog, seq: int, kind: str, body: bytes, **headers: int) -> Outgoing:
    return Outgoing(
        seq=seq,
        kind=kind,
        message_id=f"{of.batch_id}-{seq}",
        headers={"project": of.project, "batch": of.batch_id, "seq": seq, **headers},
        body=body,
    )
