"""Requests for vectors, and the vectors."""

from typing import Any

import pytest

from broker.domain.loss import OnLoss
from broker.domain.usage import NO_USAGE, Usage, UsageSource
from broker.protocols import translate_request
from broker.protocols.canonical.answer import Answer
from broker.protocols.canonical.request import EmbeddingRequest
from broker.protocols.gemini_generate_content import CODEC
from broker.protocols.losses import Losses, MalformedRequest, UntranslatableRequest
from tests.protocols.gemini_generate_content import oracle
from tests.protocols.gemini_generate_content.asking import lost, read_embedding


def one(*texts: str, **more: Any) -> dict[str, Any]:
    return {"content": {"parts": [{"text": text} for text in texts]}, **more}


def batch(*requests: Any) -> dict[str, Any]:
    return {"requests": list(requests)}


def write(request: EmbeddingRequest, on_loss: OnLoss = OnLoss.FAIL) -> tuple[Any, Losses]:
    losses = Losses(CODEC.dialect, on_loss)
    assert CODEC.write_embedding is not None
    written = CODEC.write_embedding(request, model="gemini-embedding-001", caps=CODEC.caps, losses=losses)
    assert written.path == "/v1beta/models/gemini-embedding-001:batchEmbedContents"
    oracle.check_request(written.body, written.path)
    return written.body, losses


def inputs(count: int) -> EmbeddingRequest:
    return EmbeddingRequest(inputs=("a",) * count, input_paths=tuple(f"/input/{n}" for n in range(count)))


def test_one_content_is_one_input() -> None:
    request = read_embedding(one("a", outputDimensionality="64"))
    assert (request.inputs, request.dimensions, request.input_paths) == (("a",), 64, ("/content",))
    assert request.pointer("dimensions") == "/outputDimensionality"
    assert lost(request) == []


def test_two_parts_are_one_vector() -> None:
    request = read_embedding(one("a", "b"))
    assert request.inputs == ("a\nb",)
    assert lost(request) == [("parts_joined", "semantic", "/content/parts")]


def test_a_batch_has_an_input_per_request() -> None:
    request = read_embedding(batch(one("a", model="models/m"), one("b")))
    assert (request.inputs, request.dimensions) == (("a", "b"), None)
    assert request.input_paths == ("/requests/0/content", "/requests/1/content")


def test_the_newer_place_of_the_configuration_is_read() -> None:
    request = read_embedding(one("a", embed_content_config={"output_dimensionality": 8, "task_type": "CLUSTERING"}))
    assert request.dimensions == 8
    assert lost(request) == [("unsupported_field", "sampling", "/embed_content_config/task_type")]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (one("a", taskType="CLUSTERING"), ("unsupported_field", "sampling", "/taskType")),
        (one("a", title="t"), ("unsupported_field", "sampling", "/title")),
        (one("a", tomorrow=1), ("unknown_field", "sampling", "/tomorrow")),
        (
            batch(one("a", outputDimensionality=1), one("b", outputDimensionality=2)),
            ("mixed_dimensions", "content", "/requests/1/outputDimensionality"),
        ),
        (
            {"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}},
            ("unsupported_media", "content", "/content/parts/0"),
        ),
    ],
)
def test_what_has_no_place_is_told(body: Any, expected: tuple[str, str, str]) -> None:
    assert lost(read_embedding(body)) == [expected]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"requests": []}, "/requests"),
        ({"requests": [1]}, "/requests/0"),
        ({"requests": [{}]}, "/requests/0/content"),
        ({"content": "a"}, "/content"),
        ({"content": {"parts": []}}, "/content/parts"),
        (one("a", outputDimensionality="wide"), "/outputDimensionality"),
    ],
)
def test_what_is_no_request_is_refused(body: Any, pointer: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        read_embedding(body)
    assert refused.value.pointer == pointer


def test_each_input_is_asked_for_by_itself() -> None:
    request = EmbeddingRequest(inputs=("a", "b"), input_paths=("/input/0", "/input/1"), dimensions=8)
    body, losses = write(request)
    name = "models/gemini-embedding-001"
    assert body == {
        "requests": [
            {"model": name, "content": {"parts": [{"text": text}]}, "outputDimensionality": 8} for text in ("a", "b")
        ]
    }
    assert losses.settle() == ()


def test_more_inputs_than_gemini_takes_are_refused() -> None:
    write(inputs(100))[1].settle()
    with pytest.raises(UntranslatableRequest) as refused:
        write(inputs(101), OnLoss.DROP)[1].settle()
    assert refused.value.pointer == "/input/100"


def test_who_asks_is_a_hint() -> None:
    request = EmbeddingRequest(inputs=("a",), input_paths=("/input",), user_id="u", pointers={"user_id": "/user"})
    (loss,) = write(request)[1].settle()
    assert (loss.code, loss.path) == ("unsupported_field", "/user")


def test_token_ids_cannot_be_carried() -> None:
    with pytest.raises(UntranslatableRequest) as refused:
        translate_request(
            {"model": "m", "input": [1, 2]}, source="openai-embeddings", target="gemini-generateContent", model="e"
        )
    assert refused.value.pointer == "/input"


@pytest.mark.parametrize(
    ("body", "items"),
    [
        (one("a", "b"), 1),
        (batch(one("a"), one("b")), 2),
        ({"requests": 7}, None),
        ({"contents": []}, 1),
        ({"contents": [], "generationConfig": {"candidateCount": 3}}, 3),
        ({"contents": [], "generation_config": {"candidate_count": "3"}}, 3),
        ({"contents": [], "generationConfig": {"candidateCount": "x"}}, None),
        ({"contents": [], "generationConfig": {"candidateCount": -1}}, None),
        ({"contents": [], "generationConfig": 7}, None),
    ],
)
def test_how_much_is_asked_for(body: Any, items: int | None) -> None:
    assert CODEC.items_asked_for(body) == items


def test_vectors_are_read_from_both_shapes() -> None:
    for value in ({"embedding": {"values": [1, 0.5]}}, {"embeddings": [{"values": [1, 0.5]}]}):
        assert CODEC.fault_of(value, 1) is None
        assert CODEC.read_answer(value, NO_USAGE).embeddings == ((1.0, 0.5),)


def test_vectors_are_written_in_the_shape_that_was_asked_for() -> None:
    usage = Usage(input_tokens=3, output_tokens=0, source=UsageSource.REPORTED)
    answer = Answer(model="m", usage=usage, embeddings=((0.5, 1.0),))
    counts = {"promptTokenCount": 3, "totalTokenCount": 3}
    single = CODEC.write_answer(answer, one("a"))
    assert single == {"embedding": {"values": [0.5, 1.0]}, "usageMetadata": counts}
    oracle.EmbedContentResponse.model_validate(single)
    several = CODEC.write_answer(answer, batch(one("a")))
    assert several == {"embeddings": [{"values": [0.5, 1.0]}], "usageMetadata": counts}
    oracle.check_embeddings(several)
