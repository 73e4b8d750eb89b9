import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.job import Endpoint
from broker.domain.loss import OnLoss
from broker.errors import StoreError
from broker.intake.jsonl import Row
from broker.intake.segments import SegmentPacker
from broker.store.segment import SegmentDraft, pack_line, read_segment, unpack_line

NASTY = st.lists(
    st.sampled_from([',"body":', '"', "\\", ',\\"body\\":', "}", "{", "\u2028", "\n", "😀"]) | st.text(max_size=3)
).map("".join)
BODIES = st.dictionaries(NASTY, NASTY, max_size=3).map(lambda body: json.dumps(body, ensure_ascii=False).encode())


def a_row(position: int, *, model: str = "m", body: bytes = b'{"model":"m"}') -> Row:
    return Row(
        position=position,
        line=position + 1,
        custom_id=f"row-{position}",
        endpoint=Endpoint.CHAT_COMPLETIONS,
        model=model,
        body=body,
    )


def packed(packer: SegmentPacker, rows: list[Row]) -> list[SegmentDraft]:
    drafts = [draft for row in rows for draft in packer.add(row)]
    return [*drafts, *packer.finish()]


def positions(draft: SegmentDraft) -> list[int]:
    return [unpack_line(line).position for line in read_segment(draft.payload)]


@given(st.integers(0, 2**63), NASTY, st.sampled_from(Endpoint), BODIES)
def test_a_line_comes_back_as_it_was_packed(position: int, custom_id: str, endpoint: Endpoint, body: bytes) -> None:
    line = pack_line(position, custom_id, endpoint, body)
    assert b"\n" not in line
    assert unpack_line(line)[:4] == (position, custom_id, endpoint, body)


@given(NASTY, BODIES)
def test_a_line_is_json_for_everyone(custom_id: str, body: bytes) -> None:
    assert json.loads(pack_line(3, custom_id, Endpoint.EMBEDDINGS, body)) == {
        "position": 3,
        "custom_id": custom_id,
        "url": "/v1/embeddings",
        "body": json.loads(body),
    }


def test_a_segment_says_what_it_holds() -> None:
    (draft,) = packed(SegmentPacker(), [a_row(5), a_row(9)])
    lines = read_segment(draft.payload)
    assert (draft.route, draft.count, draft.first_position) == ("m", 2, 5)
    assert draft.raw_bytes == len(b"\n".join(lines))
    assert [unpack_line(line)[:4] for line in lines] == [
        (5, "row-5", Endpoint.CHAT_COMPLETIONS, b'{"model":"m"}'),
        (9, "row-9", Endpoint.CHAT_COMPLETIONS, b'{"model":"m"}'),
    ]


def test_a_segment_is_full_after_a_thousand_jobs() -> None:
    drafts = packed(SegmentPacker(), [a_row(position) for position in range(2500)])
    assert [(draft.count, draft.first_position) for draft in drafts] == [(1000, 0), (1000, 1000), (500, 2000)]


def test_a_segment_does_not_grow_over_its_bytes() -> None:
    body = b'{"x":"' + b"y" * 1000 + b'"}'
    drafts = packed(SegmentPacker(max_bytes=5_000), [a_row(position, body=body) for position in range(10)])
    assert [draft.count for draft in drafts] == [4, 4, 2]
    assert all(draft.raw_bytes <= 5_000 for draft in drafts)


def test_a_row_over_the_bytes_of_a_segment_has_its_own() -> None:
    huge = a_row(1, body=b'{"x":"' + b"y" * 6_000 + b'"}')
    drafts = packed(SegmentPacker(max_bytes=5_000), [a_row(0), huge, a_row(2)])
    assert [positions(draft) for draft in drafts] == [[0], [1], [2]]


def test_a_segment_holds_one_route() -> None:
    rows = [a_row(position, model="abc"[position % 3]) for position in range(9)]
    drafts = packed(SegmentPacker(), rows)
    assert [(draft.route, positions(draft)) for draft in drafts] == [
        ("a", [0, 3, 6]),
        ("b", [1, 4, 7]),
        ("c", [2, 5, 8]),
    ]


def test_the_largest_segment_is_handed_out_when_too_much_is_open() -> None:
    body = b'{"x":"' + b"y" * 1_000 + b'"}'
    packer = SegmentPacker(max_open_bytes=5_000)
    rows = [a_row(0, model="small"), *(a_row(position, model="large", body=body) for position in range(1, 6))]
    ready = [draft for row in rows for draft in packer.add(row)]
    assert [(draft.route, positions(draft)) for draft in ready] == [("large", [1, 2, 3, 4, 5])]
    assert [(draft.route, positions(draft)) for draft in packer.finish()] == [("small", [0])]


def test_every_row_is_in_exactly_one_segment_and_open_bytes_stay_bounded() -> None:
    chance = random.Random(7)
    packer = SegmentPacker(max_jobs=20, max_bytes=4_000, max_open_bytes=10_000)
    found: list[int] = []
    for position in range(3_000):
        body = b'{"x":"' + b"y" * chance.randrange(600) + b'"}'
        for draft in packer.add(a_row(position, model=f"m{chance.randrange(50)}", body=body)):
            found += positions(draft)
        assert packer._open_bytes <= 10_000
    for draft in packer.finish():
        found += positions(draft)
    assert packer._open_bytes == 0
    assert sorted(found) == list(range(3_000))


@pytest.mark.parametrize("on_loss", OnLoss)
def test_every_line_says_what_its_batch_says_of_losses(on_loss: OnLoss) -> None:
    (draft,) = packed(SegmentPacker(on_loss), [a_row(0), a_row(1)])
    assert [unpack_line(line).on_loss for line in read_segment(draft.payload)] == [on_loss] * 2


def test_an_empty_packer_has_nothing_to_finish() -> None:
    assert list(SegmentPacker().finish()) == []


def test_a_damaged_segment_is_our_error() -> None:
    (draft,) = packed(SegmentPacker(), [a_row(0)])
    with pytest.raises(StoreError, match="cannot be unpacked"):
        read_segment(draft.payload[:-3])
