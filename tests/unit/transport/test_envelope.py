"""A turn's way over the wire: nothing is changed, and whatever is no turn is told apart."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.job import Endpoint, Job, JobKey
from broker.domain.loss import OnLoss
from broker.testing.contracts.transport import a_job, a_turn
from broker.transport.envelope import INLINE_JOB_BYTES, INLINE_TURN_BYTES, MOST_JOBS, MalformedEnvelope, decode, encode
from broker.transport.port import Turn

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_NATURAL = st.integers(0, 2**63 - 1)
_JOBS = st.builds(
    Job,
    key=st.builds(JobKey, _NATURAL, _NATURAL),
    custom_id=_TEXT,
    endpoint=st.sampled_from(Endpoint),
    route=st.just("r"),
    body=st.binary(max_size=300),
    on_loss=st.sampled_from(OnLoss),
    from_due=st.booleans(),
)


@given(st.lists(_JOBS, min_size=1, max_size=MOST_JOBS), _TEXT, st.booleans())
def test_a_turn_comes_out_as_it_went_in(jobs: list[Job], route: str, interactive: bool) -> None:
    turn = Turn(route=route, jobs=tuple(replace(job, route=route) for job in jobs), interactive=interactive)
    envelope = decode(encode(turn))
    assert envelope.references == ()
    assert envelope.turn({}) == turn


def test_a_row_is_longer_only_where_losses_are_to_be_dropped() -> None:
    """So a reader of before takes all the others."""
    turn = a_turn(0, 1)
    dropping = replace(turn, jobs=(turn.jobs[0], replace(turn.jobs[1], on_loss=OnLoss.DROP)))
    rows = orjson.loads(encode(dropping).partition(b"\n")[0])["jobs"]
    assert [row[6:] for row in rows] == [[], ["drop"]]


@given(st.binary())
def test_noise_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedEnvelope):
        decode(payload)


@given(st.data())
def test_a_damaged_envelope_is_malformed_or_another_turn_but_nothing_else(data: st.DataObject) -> None:
    payload = bytearray(encode(a_turn(0, 1)))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(payload))
    except MalformedEnvelope:
        return


@pytest.mark.parametrize("cut", [1, 10, 200])
def test_a_cut_envelope_is_malformed(cut: int) -> None:
    with pytest.raises(MalformedEnvelope):
        decode(encode(a_turn(0, 1))[:-cut])


def test_more_bytes_than_the_rows_name_are_malformed() -> None:
    with pytest.raises(MalformedEnvelope, match="bytes of bodies"):
        decode(encode(a_turn(0)) + b"x")


def test_another_version_is_not_guessed_at() -> None:
    with pytest.raises(MalformedEnvelope, match="version 2"):
        decode(encode(a_turn(0)).replace(b'"v":1', b'"v":2', 1))


@pytest.mark.parametrize(
    "row",
    [
        [1, 2],
        [1, -2, False],
        [1, 2**63, False],
        [True, 2, False],
        [1, 2.0, False],
        [1, 2, 0],
        [1, 2, False, 3, "/v1/nothing", "a"],
        [1, 2, False, 3, "/v1/embeddings", None],
        [1, 2, False, -1, "/v1/embeddings", "a"],
        [1, 2, False, 3, "/v1/embeddings", "a", "guess"],
        [1, 2, False, 3, "/v1/embeddings", "a", "drop", "drop"],
        {"batch": 1},
    ],
)
def test_a_row_that_is_no_job_is_malformed(row: object) -> None:
    head = {"v": 1, "route": "r", "interactive": False, "jobs": [row]}
    with pytest.raises(MalformedEnvelope):
        decode(orjson.dumps(head) + b"\nabc")


def test_a_turn_has_at_least_one_job_and_not_too_many() -> None:
    with pytest.raises(ValueError, match="not 0"):
        encode(Turn(route="r", jobs=()))
    with pytest.raises(ValueError, match="not 33"):
        encode(a_turn(*range(MOST_JOBS + 1)))
    rows = [[1, position, False] for position in range(MOST_JOBS + 1)]
    head = orjson.dumps({"v": 1, "route": "r", "interactive": False, "jobs": rows})
    with pytest.raises(MalformedEnvelope, match="at most"):
        decode(head + b"\n")


def test_a_large_job_is_referred_to_and_found_again() -> None:
    small, large = a_job(0), replace(a_job(1, from_due=True), body=b"x" * (INLINE_JOB_BYTES + 1))
    payload = encode(Turn(route=small.route, jobs=(large, small)))
    assert len(payload) < 2_000
    envelope = decode(payload)
    assert envelope.references == (large.key,)
    in_manifest = replace(large, from_due=False)
    assert envelope.turn({large.key: in_manifest}) == Turn(route=small.route, jobs=(large, small))


def test_a_job_that_is_nowhere_any_more_is_left_out() -> None:
    small, large = a_job(0), replace(a_job(1), body=b"x" * (INLINE_JOB_BYTES + 1))
    turn = decode(encode(Turn(route=small.route, jobs=(large, small)))).turn({})
    assert turn is not None
    assert turn.jobs == (small,)
    assert decode(encode(Turn(route=small.route, jobs=(large,)))).turn({}) is None


def test_the_largest_turn_stays_far_below_what_a_server_takes() -> None:
    job = replace(a_job(0), body=b"x" * (INLINE_JOB_BYTES - 1_000), custom_id="i" * 500)
    payload = encode(Turn(route=job.route, jobs=(job,) * MOST_JOBS))
    assert INLINE_TURN_BYTES / 2 < len(payload) < INLINE_TURN_BYTES * 1.1
