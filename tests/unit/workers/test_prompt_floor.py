"""No tokenizer makes fewer tokens than the floor says: counted by nineteen of them, from BERT to Gemma 4.

`token_counts.json` holds what llama.cpp counted with the vocabularies that come with its sources.
"""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from broker.domain.job import Endpoint, Job, JobKey
from workers.prompt_floor import fewest_tokens, prompt_floor

COUNTED: list[dict[str, Any]] = json.loads(Path(__file__).with_name("token_counts.json").read_text("utf-8"))


@pytest.mark.parametrize("case", [pytest.param(case, id=case["kind"]) for case in COUNTED])
def test_no_tokenizer_makes_fewer_tokens(case: dict[str, Any]) -> None:
    assert len(case["tokens"]) == 19
    floor = fewest_tokens([case["text"] * case["times"]])
    below = {name: count for name, count in case["tokens"].items() if count < floor}
    assert not below, floor


@pytest.mark.parametrize(("kind", "share"), [("english docs", 0.6), ("python", 0.35), ("chinese", 0.35), ("urls", 0.4)])
def test_the_floor_is_near_enough_to_tell_a_cut_prompt(kind: str, share: float) -> None:
    """Of the tokens that a tokenizer of today makes."""
    (case,) = [case for case in COUNTED if case["kind"] == kind]
    assert fewest_tokens([case["text"] * case["times"]]) >= share * case["tokens"]["llama-bpe"]


@pytest.mark.parametrize(
    ("text", "fewest"),
    [
        ("", 0),
        (" \n\t  ", 0),
        ("--- *** ...", 0),
        ("one two, three", 3),
        ("it's what they'd say", 4),
        ("snake_case and camelCase", 4),
        ("1.5 2x 10:30:00 3,000.25", 4),
        ("数据处理的速度", 1),
        ("データ処理の速度", 2),
        ("नमस्ते दुनिया", 2),
        ("👩‍👩‍👧 ok", 2),
    ],
)
def test_words_are_what_no_tokenizer_joins(text: str, fewest: int) -> None:
    assert fewest_tokens([text]) == fewest


def floor_of(endpoint: Endpoint, body: dict[str, Any]) -> int:
    return prompt_floor(
        Job(key=JobKey(1, 0), custom_id="row", endpoint=endpoint, route="m", body=orjson.dumps({"model": "m"} | body))
    )


TEN = "one two three four five six seven eight nine ten"


def test_texts_count_in_every_place_that_reaches_the_prompt() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": json.dumps({"at": TEN})}}
    messages = [
        {"role": "system", "content": TEN},
        {"role": "user", "content": [{"type": "text", "text": TEN}]},
        {"role": "assistant", "content": TEN, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": TEN},
    ]
    assert floor_of(Endpoint.CHAT_COMPLETIONS, {"messages": messages}) == 40


def test_what_may_not_reach_the_prompt_counts_for_nothing() -> None:
    """Schemas and tools, where the template has no place for them; pictures; thoughts of earlier turns."""
    schema = {"type": "object", "description": TEN}
    body = {
        "messages": [
            {"role": "assistant", "content": f"<think>{TEN}</think>one"},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/one-two.png"}}]},
        ],
        "tools": [{"type": "function", "function": {"name": "look", "description": TEN, "parameters": schema}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        "metadata": {"note": TEN},
    }
    assert floor_of(Endpoint.CHAT_COMPLETIONS, body) == 1


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (Endpoint.EMBEDDINGS, {"input": [TEN, TEN]}),
        (Endpoint.RESPONSES, {"instructions": TEN, "input": TEN}),
        (Endpoint.MESSAGES, {"max_tokens": 5, "system": TEN, "messages": [{"role": "user", "content": TEN}]}),
        (Endpoint.GENERATE_CONTENT, {"contents": [{"role": "user", "parts": [{"text": TEN}, {"text": TEN}]}]}),
    ],
)
def test_every_dialect_is_read(endpoint: Endpoint, body: dict[str, Any]) -> None:
    assert floor_of(endpoint, body) == 20


@pytest.mark.parametrize("body", [{}, {"messages": 3}, {"messages": [{"role": "nobody", "content": []}]}])
def test_what_cannot_be_read_has_no_floor(body: dict[str, Any]) -> None:
    assert floor_of(Endpoint.CHAT_COMPLETIONS, body) == 0
