"""The elements of an array in raw JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.protocols.splice import elements

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.lists(VALUES), st.sampled_from([None, 0, 2]), st.binary(max_size=5))
def test_elements_are_those_that_a_parser_finds(values: list[object], indent: int | None, before: bytes) -> None:
    text = json.dumps(values, indent=indent).encode()
    found = [(before + text + b" tail")[start:end] for start, end in elements(before + text + b" tail", len(before))]
    assert [json.loads(element) for element in found] == values
    assert all(element == element.strip() for element in found)


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"1", b"[", b"[1", b"[1,", b"[1,]", b"[1 2]", b"[,1]", b'["a', b"[1}", b"[{]"]
)
def test_what_is_no_array_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the one error of the scanner
        list(elements(text, 0))


@given(st.binary(max_size=60))
def test_no_bytes_break_the_scanner(text: bytes) -> None:
    try:
        for start, end in elements(b"[" + text, 0):
            assert 0 < start < end <= len(text) + 1
    except ValueError:
        pass
