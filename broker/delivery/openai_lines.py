"""Results as the lines of OpenAI batch output and error files."""

import orjson

from broker.delivery.line_parts import one_line, warnings_member
from broker.domain.result import ResultLine

LINE_BEGINS = b'{"id":"batch_req_'
"""What every line begins with."""


def output_line(line: ResultLine) -> bytes:
    """One line with its line feed; the provider's body goes in byte for byte.

    A request that a provider answered carries `response`, whatever its status; one that was never answered
    carries `error`. Source: the batch guide's input, output and error files.
    """
    custom_id = orjson.dumps(line.custom_id)
    if line.body is not None and line.status is not None:
        response = b'{"status_code":%d,"request_id":%b,"body":%b}' % (
            line.status,
            orjson.dumps(line.request_id),
            one_line(line.body),
        )
        error = b"null"
    else:
        response = b"null"
        error = orjson.dumps({"code": line.error_code, "message": line.error_message})
    return b'%b%d_%d","custom_id":%b,"response":%b,"error":%b%b}\n' % (
        LINE_BEGINS,
        line.batch_id,
        line.position,
        custom_id,
        response,
        error,
        warnings_member(line),
    )
