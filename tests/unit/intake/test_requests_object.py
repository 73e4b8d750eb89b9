"""One JSON object that holds all rows: split as a stream, byte for byte."""

import io
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import CallerError
from broker.intake import requests_object
from broker.intake.requests_object import AROUND_BYTES, _requests, start_of_requests
from broker.intake.source import HEAD_BYTES, MAX_LINE_BYTES, Line

TEXTS = st.sampled_from(['"', "\\", "{", "]", ",", '","requests":[', "é"]) | st.text(max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def split(content: bytes) -> list[Line]:
    return list(_requests(io.BufferedReader(io.BytesIO(content)), "jobs.json"))


@pytest.fixture(params=[1, 2, 7, 64])
def piece_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many bytes are looked at together, so that every cut happens in every place."""
    size: int = request.param
    monkeypatch.setattr(requests_object, "_READ_BYTES", size)
    monkeypatch.setattr(requests_object, "AROUND_BYTES", 16)
    return size


@given(
    rows=st.lists(JSON, max_size=5),
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
    size=st.integers(1, 40),
)
def test_elements_come_as_they_stand_there_wherever_the_pieces_are_cut(
    rows: list[Any], indent: int | None, ascii_only: bool, size: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests_object, "_READ_BYTES", size)
        texts = [json.dumps(row, indent=indent, ensure_ascii=ascii_only) for row in rows]
        content = ('{ "requests" :\n[' + " ,\n ".join(texts) + "\n] }\n").encode()
        assert [line.content.decode() for line in split(content)] == texts


@pytest.mark.usefixtures("piece_bytes")
def test_elements_are_numbered_and_whole() -> None:
    assert split(b'{"requests":[{"a":"]}"}, [1,2] ,"x\\"y\\\\", 7]}') == [
        Line(1, b'{"a":"]}"}', True),
        Line(2, b"[1,2]", True),
        Line(3, b'"x\\"y\\\\"', True),
        Line(4, b"7", True),
    ]


@pytest.mark.usefixtures("piece_bytes")
def test_an_array_without_elements_has_none() -> None:
    assert split(b'{"requests":[ \n ]}') == []


@pytest.mark.usefixtures("piece_bytes")
def test_what_is_broken_within_an_element_stays_within_it() -> None:
    found = split(b'{"requests":[{"a":NaN}, {"b":1] x, , {"c":2},]}')
    assert [line.content for line in found] == [b'{"a":NaN}', b'{"b":1] x', b"", b'{"c":2}', b""]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"requests":[{"a":1}', "is cut off: its requests have no end"),
        (b'{"requests":[{"a":"', "is cut off"),
        (b'{"requests":[1}', "before the first request a brace is closed that was not opened"),
        (b'{"requests":[1,2}}', "behind request 1 a brace is closed that was not opened"),
        (b'{"requests":[1]', "is not valid JSON behind its requests"),
        (b'{"requests":[1]}{"requests":[2]}', "is not valid JSON behind its requests"),
        (b'{"requests":[1],}', "is not valid JSON behind its requests"),
        (b'{"requests":[1],"requests":[2]}', 'has "requests" twice'),
        (b'{"requests":[1]}' + b" " * 2 * AROUND_BYTES + b"x", "is not valid JSON behind its requests"),
    ],
)
@pytest.mark.usefixtures("piece_bytes")
def test_an_object_that_is_none_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(CallerError, match=rf"jobs\.json {message}|jobs\.json is not valid JSON: {message}"):
        split(content)


def test_other_members_may_stand_around_the_requests() -> None:
    assert [line.content for line in split(b'{"a":{"requests":[9]},"requests":[1,2],"b":[3]}\n')] == [b"1", b"2"]


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b'{"requests":[', True),
        (b' \n{ "x": "\\"requests\\":[", "requests" : [ {"cust', True),
        (b'{"key":"a","request":{"requests":[{"content"', False),
        (b'{"custom_id":"a","params":{}}\n{"requests":[', False),
        (b'{"requests":{"a":1}}', False),
        (b'"requests":[', False),
        (b"", False),
        (b'{"a":' + b'{"requests":[' * 10_000, False),
    ],
)
def test_only_requests_of_the_object_itself_are_found(head: bytes, found: bool) -> None:
    assert (start_of_requests(head) is not None) is found


@pytest.mark.parametrize("over", [0, 1, 3_000_000])
@pytest.mark.parametrize("text", [b'{"custom_id":"long","x":"%b"}', b'"%b"', b"[%b]"])
def test_an_element_above_the_cap_is_cut_and_reading_goes_on_behind_it(over: int, text: bytes) -> None:
    long = text % (b"x" * (MAX_LINE_BYTES - len(text % b"") + over))
    found = split(b'{"requests":[1,' + long + b',{"a":3}]}')
    assert [(line.number, line.whole) for line in found] == [(1, True), (2, over == 0), (3, True)]
    assert found[1].content == (long if over == 0 else long[:HEAD_BYTES])
    assert found[2].content == b'{"a":3}'


class _Endless(io.RawIOBase):
    """One element of many megabytes, made while it is read."""

    def __init__(self, size: int) -> None:
        self._left: list[Any] = [b'{"requests":["', size, b'",2]}']

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while self._left and not self._left[0]:
            del self._left[0]
        if not self._left:
            return 0
        first = self._left[0]
        if isinstance(first, bytes):
            piece, self._left[0] = first[: len(buffer)], first[len(buffer) :]
        else:
            piece = b"x" * min(first, len(buffer))
            self._left[0] = first - len(piece)
        buffer[: len(piece)] = piece
        return len(piece)


def test_an_element_that_is_too_long_is_not_kept_in_memory() -> None:
    tracemalloc.start()
    try:
        found = list(_requests(io.BufferedReader(_Endless(8 * MAX_LINE_BYTES)), "jobs.json"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [(line.number, line.whole) for line in found] == [(1, False), (2, True)]
    assert peak < 3 * MAX_LINE_BYTES
