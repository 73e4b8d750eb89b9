"""Byte spans in raw JSON, so that a value can be found or replaced while every other byte stays as it was.

Nothing here validates. The text has been parsed before, or the caller wants what can be read of a broken one;
so every scan is linear and without recursion, whatever the text holds.
"""

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

# Possessive quantifiers: a string is matched once or not at all, without backtracking and without memory per escape.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_KEY = re.compile(rb"[ \t\r\n]*+(" + _STRING + rb")[ \t\r\n]*+:[ \t\r\n]*+", re.DOTALL)
_SCALAR = re.compile(_STRING + rb"|[^][{},:\"\s]++", re.DOTALL)
_BRACKET = re.compile(rb'(?:[^"\[\]{}]*+' + _STRING + rb')*+[^"\[\]{}]*+([\[\]{}])', re.DOTALL)
_AFTER_VALUE = re.compile(rb"[ \t\r\n]*+([,}])")
_AFTER_ELEMENT = re.compile(rb"[ \t\r\n]*+([],])[ \t\r\n]*+")
_ARRAY_START = re.compile(rb"\[[ \t\r\n]*+")
_START = re.compile(rb"[ \t\r\n]*+\{")
_OPENING = (b"{", b"[")
_ESCAPED_LETTER_D_TO_O = b"\\u006"


class Member(NamedTuple):
    """A key of an object, and where its value starts and ends."""

    key: str
    start: int
    end: int


def members(text: bytes) -> Iterator[Member]:
    """The members of the object that `text` is, in order; duplicate keys come as often as they stand there.

    Stops with `ValueError` where the text is no object any more.
    """
    begin = _START.match(text)
    if begin is None:
        raise ValueError("not an object")
    position = begin.end()
    while key := _KEY.match(text, position):
        start = key.end()
        end = _end_of_value(text, start)
        yield Member(_decoded(key[1]), start, end)
        after = _AFTER_VALUE.match(text, end)
        if after is None:
            raise ValueError(f"no comma or brace after the value that ends at {end}")
        if after[1] == b"}":
            return
        position = after.end()
    if text[position:].lstrip(b" \t\r\n")[:1] != b"}":
        raise ValueError(f"no key at {position}")


def elements(text: bytes, start: int) -> Iterator[tuple[int, int]]:
    """Where each element of the array that begins at `start` starts and ends, in order.

    Stops with `ValueError` where the text is no array any more.
    """
    begin = _ARRAY_START.match(text, start)
    if begin is None:
        raise ValueError(f"no array at {start}")
    position = begin.end()
    if text[position : position + 1] == b"]":
        return
    while True:
        end = _end_of_value(text, position)
        yield position, end
        after = _AFTER_ELEMENT.match(text, end)
        if after is None:
            raise ValueError(f"no comma or bracket after the element that ends at {end}")
        if after[1] == b"]":
            return
        position = after.end()


def deeper_than(text: bytes, limit: int) -> bool:
    """Whether arrays and objects nest deeper than `limit`; stops at the first that does."""
    if text.count(b"{") + text.count(b"[") <= limit:
        return False
    depth = position = 0
    while bracket := _BRACKET.match(text, position):
        depth += 1 if bracket[1] in _OPENING else -1
        if depth > limit:
            return True
        position = bracket.end()
    return False


def with_model_where_named(body: bytes, model: str) -> bytes:
    """The body with `model` as its top-level model if it names one, everything else byte for byte."""
    if b"model" not in body and _ESCAPED_LETTER_D_TO_O not in body:
        return body
    return with_model(body, model) if any(member.key == "model" for member in members(body)) else body


def with_models_of_elements(body: bytes, key: str, model: str) -> bytes:
    """The body with `model` in each object of its top-level array `key` that names one, else byte for byte.

    Raises `ValueError` where the body, or that array, is not what it must be.
    """
    parts: list[bytes] = []
    copied = 0
    for member in members(body):
        if member.key == key:
            for start, end in elements(body, member.start):
                parts += (body[copied:start], with_model_where_named(body[start:end], model))
                copied = end
    return b"".join((*parts, body[copied:]))


def with_model(body: bytes, model: str) -> bytes:
    """The body with `model` as its top-level model, everything else byte for byte.

    The body must be a valid JSON object with a top-level `model`; raises `ValueError` where that is seen not to
    hold. A duplicate `model` is replaced wherever it stands, since readers differ in which one they believe.
    """
    name = json.dumps(model).encode()
    # A key that reads `model` is spelled out, or has at least one letter escaped; each of its letters is U+006x. So
    # with no such escape and one literal `"model"`, that one is the key: inside a string it would read `\"model\"`.
    only = body.find(b'"model"')
    if only != -1 and body.find(b'"model"', only + 7) == -1 and _ESCAPED_LETTER_D_TO_O not in body:
        key = _KEY.match(body, only)
        if key is None:
            raise ValueError("the body has no top-level model")
        return body[: key.end()] + name + body[_end_of_value(body, key.end()) :]
    parts: list[bytes] = []
    copied = 0
    for member in members(body):
        if member.key == "model":
            parts += (body[copied : member.start], name)
            copied = member.end
    if not parts:
        raise ValueError("the body has no top-level model")
    return b"".join((*parts, body[copied:]))


def _end_of_value(text: bytes, start: int) -> int:
    if text[start : start + 1] not in _OPENING:
        scalar = _SCALAR.match(text, start)
        if scalar is None:
            raise ValueError(f"no value at {start}")
        return scalar.end()
    depth, position = 0, start
    while bracket := _BRACKET.match(text, position):
        position = bracket.end()
        depth += 1 if bracket[1] in _OPENING else -1
        if depth == 0:
            return position
    raise ValueError(f"the value at {start} has no end")


def _decoded(key: bytes) -> str:
    """The key without its quotes and escapes; `ValueError` (also of UTF-8) when it is none."""
    if b"\\" not in key:
        return key[1:-1].decode()
    decoded: str = json.loads(key.decode())
    return decoded
