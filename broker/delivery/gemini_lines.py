"""Results as the lines of Gemini's batches: `key`, and a `response` or an `error`."""

import orjson

from broker.delivery.line_parts import error_object, one_line, told_error, warnings_member
from broker.domain.result import ResultLine, ResultState
from broker.protocols.gemini_generate_content.write_error import write_error
from broker.protocols.splice import members

LINE_BEGINS = b'{"key":'
AFTER_NAME = (b',"response":', b',"error":')
"""What every line begins with, and what stands behind its `key`."""
_CANCELLED = {"code": 499, "message": "The batch was cancelled before this request was run.", "status": "CANCELLED"}
_EXPIRED = {"code": 504, "message": "The batch expired before this request was run.", "status": "DEADLINE_EXCEEDED"}


def output_line(line: ResultLine) -> bytes:
    """One line with its line feed; an answer, and an error that was told in this form, go in byte for byte."""
    succeeded = line.state == ResultState.SUCCEEDED and line.body is not None
    return b"%b%b%b%b%b}\n" % (
        LINE_BEGINS,
        orjson.dumps(line.custom_id),
        AFTER_NAME[0] if succeeded else AFTER_NAME[1],
        one_line(line.body) if succeeded and line.body is not None else _error(line),
        warnings_member(line),
    )


def _error(line: ResultLine) -> bytes:
    if line.state == ResultState.CANCELLED:
        return orjson.dumps(_CANCELLED)
    if line.state == ResultState.EXPIRED:
        return orjson.dumps(_EXPIRED)
    told = None if line.body is None else error_object(line.body)
    if line.body is not None and told is not None and isinstance(told.get("code"), int):
        body = one_line(line.body)
        return next(body[member.start : member.end] for member in reversed([*members(body)]) if member.key == "error")
    _, envelope = write_error(told_error(line))
    return orjson.dumps(envelope["error"])
