"""Vectors are asked for and told as OpenAI documents it."""

import json
from base64 import b64decode
from pathlib import Path
from struct import unpack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.caps import Caps
from broker.domain.dialect import Dialect
from broker.domain.loss import LossClass, OnLoss
from broker.domain.usage import NO_USAGE, Usage, UsageSource
from broker.protocols import Answer, render_response, translate_request
from broker.protocols.canonical.request import EmbeddingRequest
from broker.protocols.losses import Losses, MalformedRequest
from broker.protocols.openai_embeddings import CODEC
from broker.protocols.openai_embeddings.requests import items_asked_for, read_request, write_request
from tests.protocols.openai_embeddings.oracle import check_answer, check_request

HERE = Path(__file__).parent.parent
REQUESTS = {
    path.stem: json.loads(path.read_text())["body"] for path in (HERE / "golden/openai-embeddings").glob("*.json")
}
ANSWERS = {
    path.stem: json.loads(path.read_text())["body"]
    for path in (HERE / "golden_answers/openai-embeddings").glob("*.json")
}
OTHERS = {"mistral_dimension", "unknown_field", "nulls"}
"""They hold words of other servers, or nulls, which the SDK does not send."""


def write(request: EmbeddingRequest, caps: Caps = CODEC.caps) -> tuple[dict[str, Any], list[Any]]:
    losses = Losses(Dialect.OPENAI_EMBEDDINGS, OnLoss.DROP)
    body = write_request(request, model="m", caps=caps, losses=losses).body
    return body, [(loss.code, loss.path, loss.loss_class) for loss in losses.settle()]


def test_there_is_enough_material() -> None:
    assert len(REQUESTS) >= 6
    assert len(ANSWERS) >= 6


@pytest.mark.parametrize("name", sorted(REQUESTS.keys() - OTHERS))
def test_a_documented_request_satisfies_the_sdk(name: str) -> None:
    check_request(REQUESTS[name])


@pytest.mark.parametrize("name", sorted(name for name in REQUESTS if "token_ids" not in name))
def test_what_is_read_and_written_again_satisfies_the_sdk(name: str) -> None:
    once, _ = write(read_request(REQUESTS[name]))
    check_request(once)
    assert write(read_request(once)) == (once | {"model": "m"}, [])


@pytest.mark.parametrize(
    ("given", "texts", "paths"),
    [("a", ("a",), ("/input",)), (["a", ""], ("a", ""), ("/input/0", "/input/1"))],
)
def test_texts_are_read_with_their_places(given: Any, texts: Any, paths: Any) -> None:
    request = read_request({"model": "m", "input": given})
    assert (request.inputs, request.input_paths) == (texts, paths)


@pytest.mark.parametrize("given", [[1, 2], [[1], [2, 3]], ["a", [1]]])
def test_tokens_of_another_vendor_are_content_that_cannot_be_read(given: Any) -> None:
    (lost,) = read_request({"model": "m", "input": given}).unmapped
    assert (lost.code, lost.path, lost.loss_class, lost.droppable) == (
        "token_ids",
        "/input",
        LossClass.CONTENT,
        False,
    )


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/input"),
        ({"input": []}, "/input"),
        ({"input": {}}, "/input"),
        ({"input": ["a", None]}, "/input"),
        ({"input": "a", "dimensions": "many"}, "/dimensions"),
        ({"input": "a", "output_dimension": "many"}, "/output_dimension"),
        ({"input": "a", "encoding_format": "hex"}, "/encoding_format"),
        ({"input": "a", "user": 1}, "/user"),
    ],
)
def test_what_is_no_request_is_refused_by_its_place(body: dict[str, Any], pointer: str) -> None:
    with pytest.raises(MalformedRequest) as told:
        read_request(body)
    assert told.value.pointer == pointer


def test_dimensions_are_read_in_both_words() -> None:
    both = read_request({"input": "a", "dimensions": 3, "output_dimension": 4})
    mistral = read_request({"input": "a", "output_dimension": 4})
    assert (both.dimensions, both.pointer("dimensions")) == (3, "/dimensions")
    assert (mistral.dimensions, mistral.pointer("dimensions")) == (4, "/output_dimension")


def test_who_asks_is_told_to_those_who_take_it() -> None:
    request = EmbeddingRequest(
        inputs=("a",), input_paths=("/input",), user_id="u", dimensions=2, pointers={"user_id": "/user"}
    )
    body = {"model": "m", "input": ["a"], "encoding_format": "float", "dimensions": 2}
    assert write(request, Caps(identity=True)) == (body | {"user": "u"}, [])
    assert write(request) == (body, [("unsupported_field", "/user", LossClass.HINT)])


@pytest.mark.parametrize(
    ("request_body", "items"),
    [({"input": "a"}, 1), ({"input": ["a", "b"]}, 2), ({"input": [1, 2]}, 1), ({"input": [[1], [2]]}, 2), ({}, None)],
)
def test_as_many_vectors_are_awaited_as_texts_were_sent(request_body: dict[str, Any], items: int | None) -> None:
    assert items_asked_for(request_body) == items


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_a_documented_answer_comes_back_as_it_was(name: str) -> None:
    body = ANSWERS[name]
    assert CODEC.fault_of(body, len(body["data"])) is None
    usage = CODEC.read_usage(body, details_default_zero=False)
    answer = CODEC.read_answer(body, usage)
    for encoding in ("float", "base64"):
        written = render_response(answer, dialect=CODEC.dialect, request={"input": "a", "encoding_format": encoding})
        check_answer(written)
        assert CODEC.fault_of(written, len(body["data"])) is None
        again = CODEC.read_answer(written, CODEC.read_usage(written, details_default_zero=False))
        assert again.embeddings == (answer.embeddings if encoding == "float" else _rounded(answer))


def _rounded(answer: Answer) -> tuple[tuple[float, ...], ...]:
    coded = render_response(answer, dialect=CODEC.dialect, request={"encoding_format": "base64"})
    entries: Any = coded["data"]
    return tuple(unpack(f"<{len(raw) // 4}f", raw) for raw in (b64decode(entry["embedding"]) for entry in entries))


def test_vectors_come_in_the_order_of_the_texts() -> None:
    answer = CODEC.read_answer(ANSWERS["in_another_order"], NO_USAGE)
    assert answer.embeddings == ((0.5,), (0.25,))


def test_base64_is_of_little_endian_floats() -> None:
    assert CODEC.read_answer(ANSWERS["base64"], NO_USAGE).embeddings == ((0.5, -0.25),)


def test_only_input_is_used() -> None:
    assert CODEC.read_usage(ANSWERS["vectors"], details_default_zero=False) == Usage(
        input_tokens=8,
        cache_read_tokens=0,
        cache_write_tokens=0,
        output_tokens=0,
        reasoning_tokens=0,
        source=UsageSource.REPORTED,
    )
    assert CODEC.read_usage(ANSWERS["no_usage"], details_default_zero=False) == NO_USAGE
    assert CODEC.read_answer(ANSWERS["no_usage"], NO_USAGE).notes == ("usage_missing",)


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_the_same_dialect_changes_the_model_only(name: str) -> None:
    sent = translate_request(REQUESTS[name], source=CODEC.dialect, target=CODEC.dialect, model="other")
    assert sent.body == {**REQUESTS[name], "model": "other"}
    assert sent.path == "/embeddings"


KEYS = st.sampled_from(
    ["input", "data", "embedding", "index", "usage", "prompt_tokens", "error", "object", "dimensions"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(KEYS, VALUES, max_size=5), st.none() | st.integers(0, 3))
def test_no_json_makes_it_raise_what_it_does_not_promise(value: dict[str, Any], items: int | None) -> None:
    usage = CODEC.read_usage(value, details_default_zero=False)
    if CODEC.fault_of(value, items) is None:
        assert isinstance(CODEC.read_answer(value, usage), Answer)
    try:
        request = read_request(value)
    except MalformedRequest:
        return
    assert isinstance(request, EmbeddingRequest)
