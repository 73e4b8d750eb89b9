"""One line of a batch file as JSON: its fields, and its body byte for byte."""

import json
from typing import Any, Never

import orjson

from broker.intake.problems import ProblemCode, RowRefused
from broker.protocols.splice import deeper_than, members

MAX_DEPTH = 64
_KEY = b'"body"'
_BACKSLASH, _COLON, _SPACE = b"\\: "
_WHITESPACE = b" \t\r\n"


def parse_row(line: bytes) -> tuple[dict[str, Any], bytes]:
    """The fields of the row, and the bytes of its top-level `body` (empty without one).

    `line` has no white space around it. Numbers among the fields may be rounded or zero: only bytes are passed on.
    Raises `RowRefused` when the line is no JSON object, or one that nests deeper than `MAX_DEPTH`.
    """
    parsed = _with_plain_body(line) or _with_body_anywhere(line)
    if deeper_than(line, MAX_DEPTH):
        raise _too_deep()
    return parsed


def readable_custom_id(line: bytes) -> object:
    """The `custom_id` of a line that may be broken further on, whatever it is; None when there is none to be read."""
    found: object = None
    try:
        for member in members(line):
            if member.key == "custom_id":
                found = json.loads(line[member.start : member.end].decode())
    except (ValueError, RecursionError):
        pass
    return found


def _with_plain_body(line: bytes) -> tuple[dict[str, Any], bytes] | None:
    """The usual row, parsed once, as its fields around the body's value and that value. None for other rows.

    Why it finds the right bytes: let P stand before the first `"body"`, V from its colon to the last `}` but one,
    and T behind that. P `"body":0` T being an object means that these quotes are no others' (the backslash is looked
    at) and that this is a key. T has one `}`, so it is a key of the top level. T spells no `body`, so it is the last
    such key. V being one JSON value, it is that key's.
    """
    at = line.find(_KEY)
    start = at + len(_KEY) + 1
    end = line.rfind(b"}", 0, -1) + 1
    if at < 1 or end <= start or line[at - 1] == _BACKSLASH or line[start - 1] != _COLON:
        return None
    if line[start] == _SPACE:
        start += 1
    body, tail = line[start:end], line[end:]
    if b'body"' in tail or b"\\" in tail:
        return None
    try:
        fields: dict[str, Any] = orjson.loads(line[:at] + b'"body":0' + tail)
        fields["body"] = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return fields, body.strip(_WHITESPACE)


def _with_body_anywhere(line: bytes) -> tuple[dict[str, Any], bytes]:
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        fields = _patiently_parsed(line)
    if not isinstance(fields, dict):
        kind = "array" if isinstance(fields, list) else "single value"
        raise RowRefused(
            ProblemCode.NOT_AN_OBJECT, f"the row is a JSON {kind}, not an object; a batch file has one object per line"
        )
    body = b""
    for member in members(line):
        if member.key == "body":
            body = line[member.start : member.end]
    return fields, body


def _patiently_parsed(line: bytes) -> object:
    """What the fast parser refuses and JSON allows (lone surrogates, numbers beyond a double), or why it is no JSON."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise RowRefused(
            ProblemCode.INVALID_UTF8, f"byte {error.start + 1} of the line is not valid UTF-8; save the file as UTF-8"
        ) from error
    if deeper_than(line, MAX_DEPTH):
        raise _too_deep()
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_int=_any_number, parse_float=_any_number)
    except json.JSONDecodeError as error:
        raise RowRefused(
            ProblemCode.INVALID_JSON, f"the row is not valid JSON: {error.msg}, at column {error.pos + 1}"
        ) from error


def _any_number(_digits: str) -> int:
    """A number's value is not looked at, and turning a very long one into an `int` would fail."""
    return 0


def _refuse_constant(name: str) -> Never:
    raise RowRefused(ProblemCode.INVALID_JSON, f"the row is not valid JSON: it has no {name}; write null or a string")


def _too_deep() -> RowRefused:
    return RowRefused(ProblemCode.TOO_DEEP, f"the row nests arrays and objects deeper than {MAX_DEPTH} levels")
