import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.protocols.splice import deeper_than, members, with_model

NASTY = st.text(alphabet=st.sampled_from('model"\\,:{}[] é\u2028\x00😀')) | st.text(max_size=8)
KEYS = st.sampled_from(["model", "body", "messages", 'x"model', "mode", "\\model", ""]) | NASTY
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | NASTY,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def spelled(draw: st.DrawFn, text: str) -> str:
    """The string as JSON, some of its characters escaped although they need not be."""
    parts = []
    for character in text:
        if ord(character) < 0x10000 and draw(st.integers(0, 3)) == 0:
            digits = f"{ord(character):04x}"
            parts.append("\\u" + (digits.upper() if draw(st.booleans()) else digits))
        else:
            parts.append(json.dumps(character, ensure_ascii=draw(st.booleans()))[1:-1])
    return f'"{"".join(parts)}"'


@st.composite
def objects(draw: st.DrawFn, extra: list[tuple[str, Any]] | None = None) -> tuple[bytes, list[tuple[str, Any]]]:
    """An object as odd as JSON allows (duplicate keys, escaped keys, white space), and its members."""
    pairs = [*draw(st.lists(st.tuples(KEYS, VALUES), max_size=5)), *(extra or [])]
    pairs = draw(st.permutations(pairs))
    space = st.text(alphabet=" \t\r\n", max_size=2)
    texts = []
    for key, value in pairs:
        raw = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
        texts.append(f"{draw(space)}{draw(spelled(key))}{draw(space)}:{draw(space)}{raw}{draw(space)}")
    return f"{draw(space)}{{{','.join(texts) or draw(space)}}}{draw(space)}".encode(), pairs


@given(objects())
def test_members_are_those_that_json_sees_in_order_with_duplicates(case: tuple[bytes, list[tuple[str, Any]]]) -> None:
    text, pairs = case
    found = [(member.key, json.loads(text[member.start : member.end])) for member in members(text)]
    assert found == pairs


@given(objects(extra=[("model", "old")]), NASTY)
def test_with_model_changes_every_top_level_model_and_no_other_byte(
    case: tuple[bytes, list[tuple[str, Any]]], model: str
) -> None:
    text, pairs = case
    changed = with_model(text, model)
    assert [(key, model if key == "model" else value) for key, value in pairs] == [
        (member.key, json.loads(changed[member.start : member.end])) for member in members(changed)
    ]
    # Every gap between the replaced values is still there, byte for byte.
    assert _around_models(changed) == _around_models(text)


def _around_models(text: bytes) -> list[bytes]:
    parts, last = [], 0
    for member in members(text):
        if member.key == "model":
            parts.append(text[last : member.start])
            last = member.end
    return [*parts, text[last:]]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"a"}', b'{"model":"new"}'),
        (b'{"n":1E5,  "model" : "a\\"}" , "x":"\\ud800"}', b'{"n":1E5,  "model" : "new" , "x":"\\ud800"}'),
        (b'{"m\\u006Fdel":"a","x":{"model":"b"}}', b'{"m\\u006Fdel":"new","x":{"model":"b"}}'),
        (b'{"model":"a","model":"b"}', b'{"model":"new","model":"new"}'),
        (b'{"text":"say \\"model\\": \\"x\\"","model":"a"}', b'{"text":"say \\"model\\": \\"x\\"","model":"new"}'),
        (b'{"x\\"model":"a","model":"b"}', b'{"x\\"model":"a","model":"new"}'),
        (b'{"type":"model","model":"b"}', b'{"type":"model","model":"new"}'),
        (b'{"model":"b","n":123456789012345678901234567890}', b'{"model":"new","n":123456789012345678901234567890}'),
    ],
)
def test_with_model_finds_the_model_of_the_top_level(body: bytes, expected: bytes) -> None:
    assert with_model(body, "new") == expected


@pytest.mark.parametrize("body", [b"{}", b'{"type":"model"}', b"[]", b'{"a":{"model":"x","y":"model"}}', b'{"model":'])
def test_with_model_refuses_a_body_without_a_model(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"model|object|value"):
        with_model(body, "new")


@pytest.mark.parametrize(
    "text",
    [b"", b"[1]", b"{", b'{"a"', b'{"a":', b'{"a":1', b'{"a":{', b'{"a":"x', b'{"a":1]', b'{"a":1 "b":2}', b"{1}"],
)
def test_members_of_what_is_no_object_end_with_an_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"no|end"):
        list(members(text))


def test_members_before_a_fault_are_still_found() -> None:
    found = members(b'{"custom_id":"a","body":}')
    assert next(found).key == "custom_id"
    with pytest.raises(ValueError, match="no value"):
        next(found)


@given(VALUES, st.integers(0, 8))
def test_depth_is_counted_outside_strings(value: Any, limit: int) -> None:
    def depth(inner: Any) -> int:
        if isinstance(inner, dict):
            return 1 + max(map(depth, inner.values()), default=0)
        return 1 + max(map(depth, inner), default=0) if isinstance(inner, list) else 0

    assert deeper_than(json.dumps(value).encode(), limit) == (depth(value) > limit)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("piece", [b'\\"', b'"', b"[", b'"a",', b"\\", b"{}", b'{"a":'])
def test_four_megabytes_of_anything_are_scanned_in_linear_time(piece: bytes) -> None:
    text = b'{"a":' + piece * (4_000_000 // len(piece))
    assert deeper_than(text, 64) == (piece in (b"[", b'{"a":'))
    with pytest.raises(ValueError, match=r"no|end"):
        list(members(text))
