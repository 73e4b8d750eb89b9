import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.intake.problems import ProblemCode, RowRefused
from broker.intake.row_syntax import MAX_DEPTH, parse_row, readable
from broker.protocols.splice import members

TEXTS = st.sampled_from(["body", 'x"body', "\\", '"body":{}', "}", "a,", "{"]) | st.text(max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def rows(draw: st.DrawFn) -> bytes:
    """A row with its keys in any order, any of them twice, any spelled with escapes, and bodies at other depths."""
    pairs = draw(st.lists(st.tuples(st.sampled_from(["body", "custom_id", "x", 'x"body']) | TEXTS, JSON), max_size=4))
    pairs.insert(draw(st.integers(0, len(pairs))), ("body", draw(st.dictionaries(TEXTS, JSON, max_size=3))))
    separator = draw(st.sampled_from([":", ": ", " : ", ":\t "]))
    comma = draw(st.sampled_from([",", ", ", " ,\r "]))
    texts = []
    for key, value in pairs:
        name = json.dumps(key) if draw(st.booleans()) else "".join(f"\\u{ord(c):04x}" for c in key if ord(c) < 0x10000)
        name = name if name.startswith('"') else f'"{name}"'
        texts.append(name + separator + json.dumps(value, ensure_ascii=draw(st.booleans())))
    return ("{" + comma.join(texts) + draw(st.sampled_from(["}", " }"]))).encode()


@given(rows())
def test_the_body_is_the_last_top_level_one_byte_for_byte(line: bytes) -> None:
    fields, body = parse_row(line)
    spans = [line[member.start : member.end] for member in members(line) if member.key == "body"]
    assert body == spans[-1]
    # Through `float`: the fast parser rounds integers beyond 64 bits, and the values are only looked at.
    assert _rounded(fields) == _rounded(json.loads(line))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@pytest.mark.parametrize(
    "body",
    [
        b'{ "a" : 1.0E+2 , "a":1 }',
        b'{"n":' + b"9" * 5000 + b"}",
        b'{"n":-123456789012345678901234567890,"m":1e999}',
        b'{"text":"\\ud800 lone","nul":"\\u0000","utf":"\xc3\xa9"}',
        b'{"text":"\\"body\\":{}}"}',
        b"{}",
    ],
)
@pytest.mark.parametrize("layout", [b'{"x":1,"body": %b}', b'{"body":%b,"x":1}', b'{"b\\u006fdy":%b, "x\\"body":{}}'])
def test_bodies_survive_as_they_were_written(layout: bytes, body: bytes) -> None:
    assert parse_row(layout % body)[1] == body


@pytest.mark.parametrize(
    ("line", "body"),
    [
        (b'{"body":{"a":1},"body":{"b":2}}', b'{"b":2}'),
        (b'{"x":{"body":{"a":1}},"body":{"b":2}}', b'{"b":2}'),
        (b'{"body":{"b":2},"x":{"body":{"a":1}}}', b'{"b":2}'),
        (b'{"\\u0062ody":{"a":1},"x\\"body":{"a":true}}', b'{"a":1}'),
        (b'{"custom_id":"}","body":{"b":2},"url":"}"}', b'{"b":2}'),
        (b'{"body":{"b":2},"custom_id":"\\"body\\":{}"}', b'{"b":2}'),
        (b'{"custom_id":"body","body":{"b":2}}', b'{"b":2}'),
        (b'{"body":{"b":2},"\\u0062ody":{"a":1}}', b'{"a":1}'),
        (b'{"custom_id":"a"}', b""),
    ],
)
def test_look_alikes_of_the_body_are_not_taken_for_it(line: bytes, body: bytes) -> None:
    assert parse_row(line)[1] == body


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (b'{"a":"\xff"}', ProblemCode.INVALID_UTF8, "byte 7 of the line is not valid UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', ProblemCode.INVALID_UTF8, "byte 7"),
        (b'{"a":1', ProblemCode.INVALID_JSON, "at column 7"),
        (b"{'a':1}", ProblemCode.INVALID_JSON, "double quotes, at column 2"),
        (b'{"a":1} {"b":2}', ProblemCode.INVALID_JSON, "Extra data, at column 9"),
        (b'{"\xc3\xa9":}', ProblemCode.INVALID_JSON, "Expecting value, at column 6"),
        (b'{"a":"\x00"}', ProblemCode.INVALID_JSON, "control character"),
        (b"\xef\xbb\xbf{}", ProblemCode.INVALID_JSON, "at column 1"),
        (b'{"body":{"a":NaN}}', ProblemCode.INVALID_JSON, "it has no NaN; write null or a string"),
        (b'{"body":{"a":-Infinity}}', ProblemCode.INVALID_JSON, "it has no -Infinity"),
        (b'{"body":{"a":Infinity}}', ProblemCode.INVALID_JSON, "it has no Infinity"),
        (b"[1]", ProblemCode.NOT_AN_OBJECT, "JSON array, not an object; a batch file has one object per line"),
        (b'"a"', ProblemCode.NOT_AN_OBJECT, "JSON single value"),
    ],
)
def test_a_line_that_is_no_row_is_explained(line: bytes, code: ProblemCode, message: str) -> None:
    with pytest.raises(RowRefused) as refused:
        parse_row(line)
    assert refused.value.code is code
    assert message in str(refused.value)


@pytest.mark.parametrize("tail", [b"", b',"lone":"\\ud800"'])
def test_nesting_is_allowed_up_to_its_limit(tail: bytes) -> None:
    def nested(levels: int) -> bytes:
        return b'{"body":{"a":' + b"[" * levels + b'"[{"' + b"]" * levels + tail + b"}}"

    fields, _ = parse_row(nested(MAX_DEPTH - 2))
    assert isinstance(fields["body"], dict)
    with pytest.raises(RowRefused, match="deeper than 64") as refused:
        parse_row(nested(MAX_DEPTH - 1))
    assert refused.value.code is ProblemCode.TOO_DEEP


@pytest.mark.parametrize("levels", [1_000, 1_100, 200_000])
def test_nesting_without_end_breaks_no_parser(levels: int) -> None:
    with pytest.raises(RowRefused, match="deeper than 64"):
        parse_row(b'{"custom_id":"a","body":' + b"[" * levels + b"]" * levels + b"}")
    with pytest.raises(RowRefused, match="deeper than 64"):
        parse_row(b'{"a":' * levels)


def test_many_flat_objects_are_not_deep() -> None:
    messages = b",".join([b'{"role":"user"}'] * 500)
    assert parse_row(b'{"body":{"messages":[' + messages + b"]}}")[1].count(b"user") == 500


@pytest.mark.parametrize(
    ("line", "custom_id"),
    [
        (b'{"custom_id":"a\\n","body":{"x":NaN}}', "a\n"),
        (b'{"body":{"x":NaN},"custom_id":"a"}', "a"),
        (b'{"custom_id":"a","body":' + b"[" * 9000, "a"),
        (b'{"custom_id":"a","body":{"x":"\xff"}}', "a"),
        (b'{"custom_id":"\xff"}', None),
        (b'{"custom_id":"a', None),
        (b'{"custom_id":NaNa}', None),
        (b'{"custom_id":' + b"[" * 90_000 + b"]" * 90_000 + b"}", None),
        (b"not json", None),
        (b"", None),
    ],
)
def test_a_custom_id_is_read_from_a_broken_line_where_it_can_be(line: bytes, custom_id: str | None) -> None:
    assert readable(line, "custom_id") == custom_id


@given(st.binary(max_size=40).map(lambda tail: b'{"custom_id":' + tail))
def test_no_line_breaks_the_reader(line: bytes) -> None:
    readable(line, "custom_id")
    try:
        fields, _ = parse_row(line)
    except RowRefused:
        return
    assert isinstance(fields, dict)
