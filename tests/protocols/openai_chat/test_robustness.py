"""No JSON value makes the codec of chats raise what it does not promise; and documented bodies go in and out."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.dialect import Dialect
from broker.domain.loss import OnLoss
from broker.domain.usage import Usage
from broker.protocols import Answer, render_response, translate_request
from broker.protocols.conversation import prepared
from broker.protocols.losses import Losses, MalformedRequest
from broker.protocols.openai_chat import CODEC
from broker.protocols.openai_chat.read_request import read_request
from tests.protocols.openai_chat.oracle import check_answer, check_request

HERE = Path(__file__).parent.parent
REQUESTS = {path.stem: json.loads(path.read_text())["body"] for path in (HERE / "golden/openai-chat").glob("*.json")}
ANSWERS = {
    path.stem: json.loads(path.read_text())["body"] for path in (HERE / "golden_answers/openai-chat").glob("*.json")
}
OTHERS = (
    "deepseek_",
    "gemini_",
    "mistral_",
    "nulls",
    "openrouter_",
    "vllm_",
    "cache_control",
    "unknown_field",
    "video_of_another_vendor",
)
"""Bodies that hold words of other servers, or what people send though OpenAI's SDK does not."""
FOREIGN = {"image_bmp", "pdf_file_id"}
"""What they show is refused, and what is left of them would never be sent."""

WORDS = st.sampled_from(
    [
        "messages",
        "role",
        "content",
        "type",
        "text",
        "image_url",
        "url",
        "file",
        "file_data",
        "input_audio",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "id",
        "tool_call_id",
        "tools",
        "tool_choice",
        "response_format",
        "json_schema",
        "schema",
        "stop",
        "reasoning",
        "thinking",
        "reasoning_effort",
        "structured_outputs",
        "choices",
        "message",
        "finish_reason",
        "usage",
        "prompt_tokens",
        "prompt_tokens_details",
        "error",
        "index",
        "logprobs",
    ]
)
SAID = st.sampled_from(
    [
        "user",
        "assistant",
        "tool",
        "system",
        "text",
        "image_url",
        "function",
        "custom",
        "stop",
        "tool_calls",
        "auto",
        "{}",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | SAID | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=20,
)
OBJECTS = st.dictionaries(WORDS, VALUES, max_size=6)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "tool", "system", "function"])}).flatmap(
        lambda said: OBJECTS.map(lambda more: more | said)
    ),
    min_size=1,
    max_size=3,
)


@given(OBJECTS)
def test_no_body_makes_reading_raise_anything_else(body: dict[str, Any]) -> None:
    _read(body)


@given(OBJECTS, MESSAGES)
def test_no_message_makes_reading_raise_anything_else(body: dict[str, Any], said: list[Any]) -> None:
    _read(body | {"messages": said})


def _read(body: dict[str, Any]) -> None:
    with suppress(MalformedRequest):
        read_request(body)


@given(OBJECTS, st.none() | st.integers(0, 3))
def test_no_answer_makes_it_raise(value: dict[str, Any], items: int | None) -> None:
    fault = CODEC.fault_of(value, items)
    usage = CODEC.read_usage(value, details_default_zero=False)
    assert isinstance(usage, Usage)
    if fault is None:
        answer = CODEC.read_answer(value, usage)
        assert isinstance(answer, Answer)
        render_response(answer, dialect=Dialect.OPENAI_CHAT)


def test_there_is_enough_material() -> None:
    assert len(REQUESTS) >= 80
    assert len(ANSWERS) >= 20


@pytest.mark.parametrize("name", sorted(name for name in REQUESTS if not name.startswith(OTHERS)))
def test_a_documented_request_satisfies_the_sdk(name: str) -> None:
    check_request(REQUESTS[name])


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_what_is_read_and_written_again_satisfies_the_sdk_and_reaches_a_fixed_point(name: str) -> None:
    once = again(REQUESTS[name])
    check_request(once)
    if name not in FOREIGN:
        assert again(once) == once


def again(body: dict[str, Any]) -> dict[str, Any]:
    losses = Losses(Dialect.OPENAI_CHAT, OnLoss.DROP)
    request = read_request(body)
    ready = prepared(
        request, caps=CODEC.caps, losses=losses, tool_names=CODEC.tool_names, call_ids=CODEC.call_ids
    ).request
    assert CODEC.write_request is not None
    return CODEC.write_request(ready, model=body["model"], caps=CODEC.caps, losses=losses).body


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_the_same_dialect_changes_the_model_only(name: str) -> None:
    sent = translate_request(REQUESTS[name], source=CODEC.dialect, target=CODEC.dialect, model="other")
    assert sent.body == {**REQUESTS[name], "model": "other"}
    assert (sent.path, sent.warnings, sent.fan_out) == ("/chat/completions", (), 1)


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_a_documented_answer_comes_back_as_it_was(name: str) -> None:
    body = ANSWERS[name]
    assert CODEC.fault_of(body, len(body["choices"])) is None
    usage = CODEC.read_usage(body, details_default_zero=False)
    answer = CODEC.read_answer(body, usage)
    written = render_response(answer, dialect=CODEC.dialect)
    check_answer(written)
    assert CODEC.fault_of(written, len(body["choices"])) is None
    twice = CODEC.read_answer(written, CODEC.read_usage(written, details_default_zero=False))
    assert twice.usage == usage
    assert render_response(twice, dialect=CODEC.dialect) == written


def test_an_answer_without_an_id_gets_one_of_what_it_says() -> None:
    body = {**ANSWERS["text"], "id": None}
    other = {**ANSWERS["length"], "id": None}
    ids = [render_response(CODEC.read_answer(one, Usage()), dialect=CODEC.dialect)["id"] for one in (body, body, other)]
    assert ids[0] == ids[1] != ids[2]
    assert str(ids[0]).startswith("chatcmpl-")
