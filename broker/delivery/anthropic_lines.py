"""Results as the lines of Anthropic's message batches: `custom_id`, and a `result` of one of four types."""

import orjson

from broker.delivery.line_parts import error_object, one_line, told_error, warnings_member
from broker.domain.result import ResultLine, ResultState
from broker.protocols.anthropic_messages.errors import write_error

LINE_BEGINS = b'{"custom_id":'
AFTER_NAME = b',"result":{"type":"'
"""What every line begins with, and what stands behind its `custom_id`."""


def output_line(line: ResultLine) -> bytes:
    """One line with its line feed; an answer, and an error that was told in this form, go in byte for byte."""
    return b"%b%b%b%b}%b}\n" % (
        LINE_BEGINS,
        orjson.dumps(line.custom_id),
        AFTER_NAME,
        _result(line),
        warnings_member(line),
    )


def _result(line: ResultLine) -> bytes:
    """What stands behind the quote that opens the type, without the last brace."""
    if line.state == ResultState.SUCCEEDED and line.body is not None:
        return b'succeeded","message":%b' % one_line(line.body)
    if line.state == ResultState.CANCELLED:
        return b'canceled"'
    if line.state == ResultState.EXPIRED:
        return b'expired"'
    return b'errored","error":%b' % _error(line)


def _error(line: ResultLine) -> bytes:
    told = None if line.body is None else error_object(line.body)
    if line.body is not None and told is not None and isinstance(told.get("type"), str):
        return one_line(line.body)
    _, envelope = write_error(told_error(line))
    return orjson.dumps(envelope | {"request_id": line.request_id})
