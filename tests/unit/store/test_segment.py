"""How a segment is written."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.job import Endpoint
from broker.domain.loss import OnLoss
from broker.errors import StoreError
from broker.store.segment import SegmentWriter, pack_line, read_segment, unpack_line

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
BODIES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(
    lambda value: json.dumps({"model": "m", "body": value}).encode()
)


@given(
    position=st.integers(0, 2**53),
    name=NAMES,
    endpoint=st.sampled_from(Endpoint),
    body=BODIES,
    on_loss=st.sampled_from(OnLoss),
)
def test_a_line_comes_back_as_it_was_written(
    position: int, name: str, endpoint: Endpoint, body: bytes, on_loss: OnLoss
) -> None:
    line = pack_line(position, name, endpoint, body, on_loss)
    assert unpack_line(line) == (position, name, endpoint, body, on_loss)
    assert json.loads(line)["custom_id"] == name
    assert b"\n" not in line


def test_a_line_says_what_to_do_about_losses_only_where_they_are_to_be_dropped() -> None:
    earlier = b'{"position":0,"custom_id":"a","url":"/v1/embeddings","body":{}}'
    assert pack_line(0, "a", Endpoint.EMBEDDINGS, b"{}") == earlier
    assert unpack_line(earlier).on_loss is OnLoss.FAIL
    assert json.loads(pack_line(0, "a", Endpoint.EMBEDDINGS, b"{}", OnLoss.DROP))["on_loss"] == "drop"


def test_a_body_that_speaks_of_losses_says_nothing_to_us() -> None:
    line = pack_line(0, "a", Endpoint.EMBEDDINGS, b'{"on_loss":"drop"}')
    assert unpack_line(line).on_loss is OnLoss.FAIL


@pytest.mark.parametrize("name", ['","body":', '"', "\\", "a,b", '\\","body":{}', "\u2028", "é", "}"])
def test_no_name_is_taken_for_a_body(name: str) -> None:
    line = pack_line(0, name, Endpoint.EMBEDDINGS, b'{"input":",\\"body\\":"}')
    assert unpack_line(line)[:4] == (0, name, Endpoint.EMBEDDINGS, b'{"input":",\\"body\\":"}')


def test_a_body_is_kept_byte_for_byte() -> None:
    body = b'{ "seed" : 12345678901234567890123, "x":"\\u00e9\xc3\xa9","body":1 }'
    assert unpack_line(pack_line(3, "a", Endpoint.CHAT_COMPLETIONS, body)).body == body


@given(st.lists(BODIES, min_size=1, max_size=30))
def test_a_segment_comes_back_line_by_line(bodies: list[bytes]) -> None:
    lines = [pack_line(at, f"row-{at}", Endpoint.CHAT_COMPLETIONS, body) for at, body in enumerate(bodies)]
    draft = SegmentWriter().draft("m", 0, len(lines) - 1, lines)
    assert read_segment(draft.payload) == lines
    assert (draft.route, draft.count, draft.first_position, draft.last_position) == ("m", len(lines), 0, len(lines) - 1)
    assert draft.raw_bytes == len(b"\n".join(lines))


def test_a_writer_is_used_again() -> None:
    writer = SegmentWriter()
    drafts = [writer.draft("m", at, at, [pack_line(at, "a", Endpoint.EMBEDDINGS, b"{}")]) for at in range(3)]
    assert [unpack_line(read_segment(draft.payload)[0]).position for draft in drafts] == [0, 1, 2]


@pytest.mark.parametrize("damage", [lambda whole: whole[:-5], lambda _: b"", lambda _: b"not zstd at all"])
def test_a_damaged_segment_is_an_error_of_the_store(damage: object) -> None:
    lines = [pack_line(at, f"row-{at}", Endpoint.CHAT_COMPLETIONS, b"{}") for at in range(100)]
    payload = SegmentWriter().draft("m", 0, 99, lines).payload
    with pytest.raises(StoreError, match="cannot be unpacked"):
        read_segment(damage(payload))  # type: ignore[operator]  # one of the functions above
