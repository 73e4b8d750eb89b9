"""The rows of one JSON object `{"requests": [...]}`, element by element and byte for byte, whatever its size."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import orjson

from broker.errors import CallerError
from broker.intake.source import HEAD_BYTES, MAX_LINE_BYTES, Line, Source, open_content, read_errors, without_bom
from broker.protocols.splice import members

AROUND_BYTES = 64 * 1024
"""What may stand before the first request, and as much behind the last one."""
_READ_BYTES = 256 * 1024
_WHITESPACE = b" \t\r\n"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_START = re.compile(rb'"requests"[ \t\r\n]*+:[ \t\r\n]*+\[')
_CANDIDATES = 16
# Up to what matters next, over whole strings: within an element brackets do, between elements commas as well. Where
# the quote that follows has no end in this piece, the match stops before it.
_WITHIN = re.compile(rb'(?:[^"\[\]{}]*+' + _STRING + rb')*+[^"\[\]{}]*+', re.DOTALL)
_BETWEEN = re.compile(rb'(?:[^",\[\]{}]*+' + _STRING + rb')*+[^",\[\]{}]*+', re.DOTALL)
_IN_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_QUOTE, _BACKSLASH, _COMMA, _END_OF_ARRAY = b'"\\,]'
_OPENING = b"[{"


def start_of_requests(head: bytes) -> int | None:
    """Where the first request begins, if this is the head of an object that has `requests`; else `None`."""
    for number, found in enumerate(_START.finditer(head)):
        if number == _CANDIDATES:
            return None
        try:
            before = orjson.loads(head[: found.end()] + b"]}")
        except orjson.JSONDecodeError:
            continue
        return found.end() if before.get("requests") == [] else None
    return None


@contextmanager
def open_requests(source: Source) -> Iterator[Iterator[Line]]:
    """The requests of a source that is one object, numbered from 1, without the white space around them.

    Raises `CallerError`, also while they are being read: not readable, a damaged or cut archive, no such object.
    """
    with open_content(source) as content:
        yield _requests(content, source.name)


def _requests(content: io.BufferedReader, name: str) -> Iterator[Line]:
    with read_errors(name):
        head = without_bom(content.read(AROUND_BYTES), name)
        start = start_of_requests(head)
        if start is None:
            raise CallerError(f'{name} is no object with "requests"')
        split = _Split()
        piece = head[start:]
        while piece and split.rest is None:
            try:
                yield from split.requests(piece)
            except ValueError:
                where = f"behind request {split.count}" if split.count else "before the first request"
                raise CallerError(f"{name} is not valid JSON: {where} a brace is closed that was not opened") from None
            if split.rest is None:
                piece = content.read(_READ_BYTES)
        if split.rest is None:
            raise CallerError(f"{name} is cut off: its requests have no end; copy it again")
        _check_around(head[:start], split.rest + content.read(AROUND_BYTES), name, more=bool(content.read(1)))


def _check_around(before: bytes, behind: bytes, name: str, *, more: bool) -> None:
    """What stands around the requests must make one object with them."""
    text = before + b"]" + behind
    try:
        orjson.loads(text)
        once = sum(member.key == "requests" for member in members(text)) == 1
    except ValueError:
        more = True
    if more:
        raise CallerError(f"{name} is not valid JSON behind its requests; it must be one object")
    if not once:
        raise CallerError(f'{name} has "requests" twice; submit one file for each')


class _Split:
    """Splits an array that comes in pieces; nothing is looked at twice, and a long element is not kept."""

    def __init__(self) -> None:
        self.count = 0
        """Elements so far."""
        self.rest: bytes | None = None
        """What stood behind the array, once its end has come."""
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._kept: list[bytes] = []
        self._size = 0

    def requests(self, piece: bytes) -> Iterator[Line]:
        """The elements that end in this piece; raises `ValueError` where a brace was never opened."""
        start, position = 0, int(self._escaped)
        self._escaped = False
        while position < len(piece):
            if self._in_string:
                position = self._behind_string(piece, position)
                continue
            position = (_WITHIN if self._depth else _BETWEEN).match(piece, position).end()  # type: ignore[union-attr]  # both match nothing, too
            if position == len(piece):
                break
            byte = piece[position]
            position += 1
            if byte == _QUOTE:
                self._in_string = True
            elif byte in _OPENING:
                self._depth += 1
            elif byte == _COMMA:
                yield self._ended(piece[start : position - 1])
                start = position
            elif self._depth:
                self._depth -= 1
            elif byte == _END_OF_ARRAY:
                last = self._ended(piece[start : position - 1])
                if last.content or last.number > 1:
                    yield last
                self.rest = piece[position:]
                return
            else:
                raise ValueError("a brace that was not opened")
        self._keep(piece[start:])

    def _behind_string(self, piece: bytes, position: int) -> int:
        end: int = _IN_STRING.match(piece, position).end()  # type: ignore[union-attr]  # it matches nothing, too
        if end == len(piece):
            return end
        if piece[end] == _BACKSLASH:  # the last byte: what it escapes comes with the next piece
            self._escaped = True
            return len(piece)
        self._in_string = False
        return end + 1

    def _keep(self, piece: bytes) -> None:
        if not self._size:
            piece = piece.lstrip(_WHITESPACE)
        if self._size <= MAX_LINE_BYTES:
            self._kept.append(piece)
        self._size += len(piece)

    def _ended(self, piece: bytes) -> Line:
        self._keep(piece)
        content = b"".join(self._kept).rstrip(_WHITESPACE)
        whole = self._size <= MAX_LINE_BYTES
        self._kept.clear()
        self._size = 0
        self.count += 1
        return Line(self.count, content if whole else content[:HEAD_BYTES], whole)
