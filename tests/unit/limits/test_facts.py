"""The facts of a request that predict its tokens."""

import json
from typing import Any

import pytest

from broker.domain.job import Endpoint
from broker.limits.facts import Content, RequestFacts, content_of, request_facts


def facts_of(request: dict[str, Any], endpoint: Endpoint = Endpoint.CHAT_COMPLETIONS) -> RequestFacts:
    return request_facts(json.dumps(request).encode(), request, model="m", batch_id=1, endpoint=endpoint)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, None),
        ({"max_tokens": 50}, 50),
        ({"max_completion_tokens": 70, "max_tokens": 50}, 70),
        ({"max_completion_tokens": None, "max_tokens": 50}, 50),
        ({"max_tokens": 50, "n": 3}, 150),
        ({"max_tokens": 50, "n": 0}, 50),
        ({"max_tokens": 0}, None),
        ({"max_tokens": -1}, None),
        ({"max_tokens": True}, None),
        ({"max_tokens": "50"}, None),
        ({"max_tokens": 1.5}, None),
    ],
)
def test_the_output_limit_counts_all_answers(limits: dict[str, Any], expected: int | None) -> None:
    assert facts_of({"messages": [], **limits}).max_tokens == expected


@pytest.mark.parametrize(("messages", "count"), [([{}, {}], 2), ("odd", 1), (None, 1), ([], 0)])
def test_messages_are_counted(messages: object, count: int) -> None:
    assert facts_of({"messages": messages}).messages == count


def test_an_embedding_has_inputs_and_no_output() -> None:
    facts = facts_of({"input": ["a", "b", "c"], "max_tokens": 9}, Endpoint.EMBEDDINGS)
    assert (facts.messages, facts.max_tokens, facts.generates) == (3, None, False)


@pytest.mark.parametrize(
    ("text", "ascii_only", "content"),
    [
        ("Is this review positive? " * 20, True, Content.TEXT),
        ("Ein schöner Tag für alle Gäste. " * 20, False, Content.TEXT),
        ('if x == "y":\n\treturn {"a": 1}\n' * 20, True, Content.CODE),
        ("这个评论是正面的吗" * 20, False, Content.MULTIBYTE),
        ("这个评论是正面的吗" * 20, True, Content.ESCAPED),
        ("data:image/png;base64,iVBORw0KGgo", True, Content.IMAGE),
    ],
)
def test_content_is_told_by_its_bytes(text: str, ascii_only: bool, content: Content) -> None:
    assert content_of(json.dumps({"content": text}, ensure_ascii=ascii_only).encode()) is content


@pytest.mark.parametrize(
    ("endpoint", "request_", "messages", "max_tokens"),
    [
        (Endpoint.RESPONSES, {"input": [1, 2, 3], "max_output_tokens": 40}, 3, 40),
        (Endpoint.RESPONSES, {"input": "hi", "max_tokens": 40}, 1, None),
        (Endpoint.MESSAGES, {"messages": [1, 2], "max_tokens": 40, "n": 3}, 2, 40),
        (Endpoint.GENERATE_CONTENT, {"contents": [1, 2], "generationConfig": {"maxOutputTokens": 40}}, 2, 40),
        (
            Endpoint.GENERATE_CONTENT,
            {"contents": [1], "generation_config": {"max_output_tokens": 40, "candidate_count": 3}},
            1,
            120,
        ),
        (
            Endpoint.GENERATE_CONTENT,
            {"contents": [1], "generationConfig": {"maxOutputTokens": 7, "candidateCount": 2}},
            1,
            14,
        ),
        (Endpoint.GENERATE_CONTENT, {"contents": [1], "generationConfig": "odd", "maxOutputTokens": 7}, 1, None),
        (Endpoint.EMBED_CONTENT, {"content": {"parts": [1]}, "max_tokens": 7}, 1, None),
        (Endpoint.BATCH_EMBED_CONTENTS, {"requests": [1, 2, 3]}, 3, None),
    ],
)
def test_every_dialect_has_its_own_words_for_them(
    endpoint: Endpoint, request_: dict[str, Any], messages: int, max_tokens: int | None
) -> None:
    facts = facts_of(request_, endpoint)
    assert (facts.messages, facts.max_tokens, facts.generates) == (messages, max_tokens, endpoint.generates)


@pytest.mark.parametrize(
    ("endpoint", "request_", "content"),
    [
        (Endpoint.MESSAGES, {"messages": [{"source": {"type": "base64", "data": "iVBO"}}]}, Content.IMAGE),
        (Endpoint.GENERATE_CONTENT, {"contents": [{"inlineData": {"data": "iVBO"}}]}, Content.IMAGE),
        (Endpoint.GENERATE_CONTENT, {"contents": [{"inline_data": {"data": "iVBO"}}]}, Content.IMAGE),
        (Endpoint.EMBEDDINGS, {"input": "hello there", "encoding_format": "base64"}, Content.TEXT),
    ],
)
def test_inline_data_is_told_by_the_words_of_its_dialect(
    endpoint: Endpoint, request_: dict[str, Any], content: Content
) -> None:
    assert facts_of(request_, endpoint).content is content


def test_bytes_that_are_no_text_are_no_error() -> None:
    assert content_of(b"\xff\xfe" * 50) is Content.TEXT
