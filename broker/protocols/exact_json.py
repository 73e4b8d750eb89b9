r"""JSON as it comes, and written back as it came: read fast, and with patience where the fast parser objects.

Two things are legal JSON and not orjson's: half a surrogate pair (`"\ud83d"`, an emoji that a token limit cut), and
numbers beyond 64 bits. And one is orjson's but not exact: a decimal that a double does not spell the same.
"""

import json
import re
from collections.abc import Mapping
from typing import Never, Self

import orjson

# A value that may not survive a double; it may also stand in a string: then the slow way is taken for nothing.
_DELICATE = re.compile(rb"[:\[,][ \t\r\n]*(-?\d{16,}|-?\d+\.\d+(?:[eE][+-]?\d+)?|-?\d+[eE][+-]?\d+|-0)")


class ExactNumber(float):
    """A number that remembers how it was spelled."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        number = super().__new__(cls, text)
        number.text = text
        return number


def parsed(body: bytes) -> object:
    """Read a JSON value, its numbers as doubles; raises `ValueError`."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as refused:
        if b"\\u" not in body:  # nothing that a second look would see in another light
            raise
        return _patiently(body, refused)


def exact(body: bytes) -> object:
    """Read a JSON value so that `written` spells every number as it was; raises `ValueError`."""
    if all(_survives(text) for text in _DELICATE.findall(body)):
        return parsed(body)
    try:
        value: object = json.loads(
            body.decode(), parse_constant=_no_constant, parse_float=_number, parse_int=_whole_number
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def answered(body: bytes) -> object:
    """Read the body of an answer, exactly where a call may carry its arguments as JSON; raises `ValueError`."""
    return exact(body) if b"tool_use" in body or b"functionCall" in body else parsed(body)


def written(value: object) -> bytes:
    """Write a JSON value in one line; what was read by `exact` keeps its numbers. Raises `ValueError`."""
    try:
        return orjson.dumps(value, default=_spelled)
    except orjson.JSONEncodeError:  # half a surrogate pair, or a number beyond 64 bits
        try:
            return _written_slowly(value).encode()
        except RecursionError:
            raise ValueError("it is nested too deeply") from None


def _survives(text: bytes) -> bool:
    return len(text) < 18 and repr(float(text)).encode() == text


def _spelled(value: object) -> orjson.Fragment:
    if isinstance(value, ExactNumber):
        return orjson.Fragment(value.text)
    raise TypeError(f"{type(value).__name__} is no JSON")


def _number(text: str) -> float:
    number = float(text)
    return number if repr(number) == text else ExactNumber(text)


def _whole_number(text: str) -> int | float:
    return int(text) if len(text) < 19 and text != "-0" else ExactNumber(text)


def _patiently(body: bytes, refused: ValueError) -> object:
    try:
        value: object = json.loads(body.decode(), parse_constant=_no_constant)
    except RecursionError:
        raise refused from None
    return value


def _no_constant(name: str) -> Never:
    raise ValueError(f"{name} is no JSON")


def _written_slowly(value: object) -> str:
    match value:
        case ExactNumber():
            return value.text
        case Mapping():
            members = (f"{json.dumps(key)}:{_written_slowly(inner)}" for key, inner in value.items())
            return "{" + ",".join(members) + "}"
        case list() | tuple():
            return "[" + ",".join(map(_written_slowly, value)) + "]"
        case _:
            return json.dumps(value, allow_nan=False)
