"""Results as the lines of OpenAI batch output and error files."""

import orjson

from broker.domain.result import Result, ResultLine, ResultState
from broker.protocols.exact_json import parsed

LINE_BEGINS = b'{"id":"batch_req_'
"""What every line begins with."""


def output_line(result: Result | ResultLine) -> bytes:
    """One line with its line feed; the provider's body goes in byte for byte.

    A request that a provider answered carries `response`, whatever its status; one that was never answered
    carries `error`. Source: the batch guide's input, output and error files.
    """
    custom_id = orjson.dumps(result.custom_id)
    if result.body is not None and result.status is not None:
        response = b'{"status_code":%d,"request_id":%b,"body":%b}' % (
            result.status,
            orjson.dumps(result.request_id),
            _one_line(result.body),
        )
        error = b"null"
    else:
        response = b"null"
        error = orjson.dumps({"code": result.error_code, "message": result.error_message})
    return b'%b%d_%d","custom_id":%b,"response":%b,"error":%b}\n' % (
        LINE_BEGINS,
        result.batch_id,
        result.position,
        custom_id,
        response,
        error,
    )


def is_error(result: Result | ResultLine) -> bool:
    """Whether the line belongs to the error file."""
    return result.state != ResultState.SUCCEEDED


def _one_line(body: bytes) -> bytes:
    """Line breaks in JSON are white space between tokens: a space says the same. A body that is no JSON is quoted."""
    body = body.strip().replace(b"\r", b" ").replace(b"\n", b" ")
    if body[:1] in (b"{", b"["):
        try:
            parsed(body)
        except ValueError:
            pass
        else:
            return body
    return orjson.dumps(body.decode(errors="replace"))
