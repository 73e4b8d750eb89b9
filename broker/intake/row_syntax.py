"""One line of a batch file as JSON: its fields, and the request in it byte for byte."""

import json
from typing import Any, NamedTuple, Never

import orjson

from broker.intake.problems import ProblemCode, RowRefused
from broker.protocols.splice import deeper_than, members

MAX_DEPTH = 64
_BACKSLASH, _COLON, _SPACE = b"\\: "
_WHITESPACE = b" \t\r\n"


class RequestKey(NamedTuple):
    """The key of a row under which its request stands."""

    name: str
    quoted: bytes
    """The same as it is usually spelled."""


BODY = RequestKey("body", b'"body"')


def parse_row(line: bytes, key: RequestKey = BODY) -> tuple[dict[str, Any], bytes]:
    """The fields of the row, and the bytes of its top-level request (empty without one), which `key` names.

    `line` has no white space around it. Numbers among the fields may be rounded or zero: only bytes are passed on.
    Raises `RowRefused` when the line is no JSON object, or one that nests deeper than `MAX_DEPTH`.
    """
    parsed = _with_plain_request(line, key) or _with_request_anywhere(line, key)
    if deeper_than(line, MAX_DEPTH):
        raise _too_deep()
    return parsed


def readable(line: bytes, name: str) -> object:
    """A top-level field of a line that may be broken further on, whatever it is; None when there is none to be read."""
    found: object = None
    try:
        for member in members(line):
            if member.key == name:
                found = json.loads(line[member.start : member.end].decode())
    except (ValueError, RecursionError):
        pass
    return found


def readable_keys(line: bytes) -> frozenset[str]:
    """The top-level keys of a line that may be broken further on."""
    keys = set()
    try:
        for member in members(line):
            keys.add(member.key)
    except (ValueError, RecursionError):
        pass
    return frozenset(keys)


def with_member(request: bytes, key: str, value: object) -> bytes:
    """The request with one more member in front; it is an object that has members."""
    return b"{%b:%b,%b" % (orjson.dumps(key), orjson.dumps(value), request[1:])


def in_one_line(request: bytes) -> bytes:
    """A segment has a job to a line; line breaks in JSON are white space between tokens, and a space says the same."""
    return request.replace(b"\r", b" ").replace(b"\n", b" ")


def _with_plain_request(line: bytes, key: RequestKey) -> tuple[dict[str, Any], bytes] | None:
    """The usual row, parsed once, as its fields around the request's value and that value. None for other rows.

    Why it finds the right bytes, say of `body`: let P stand before the first `"body"`, V from its colon to the last
    `}` but one, and T behind that. P `"body":0` T being an object means that these quotes are no others' (the
    backslash is looked at) and that this is a key. T has one `}`, so it is a key of the top level. T has no `"body"`
    and no escapes, so it is the last such key. V being one JSON value, it is that key's.
    """
    name, quoted = key
    at = line.find(quoted)
    colon = at + len(quoted)
    start = colon + 1
    end = line.rfind(b"}", 0, -1) + 1
    if at < 1 or end <= start or line[at - 1] == _BACKSLASH or line[colon] != _COLON:
        return None
    if line[start] == _SPACE:
        start += 1
    request, tail = line[start:end], line[end:]
    if quoted in tail or b"\\" in tail:
        return None
    try:
        fields: dict[str, Any] = orjson.loads(line[:colon] + b":0" + tail)
        fields[name] = orjson.loads(request)
    except orjson.JSONDecodeError:
        return None
    return fields, request.strip(_WHITESPACE)


def _with_request_anywhere(line: bytes, key: RequestKey) -> tuple[dict[str, Any], bytes]:
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        fields = _patiently_parsed(line)
    if not isinstance(fields, dict):
        kind = "array" if isinstance(fields, list) else "single value"
        raise RowRefused(
            ProblemCode.NOT_AN_OBJECT, f"the row is a JSON {kind}, not an object; a batch file has one object per line"
        )
    request = b""
    for member in members(line):
        if member.key == key.name:
            request = line[member.start : member.end]
    return fields, request


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
