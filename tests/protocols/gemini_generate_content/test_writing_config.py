"""Limits, sampling, formats and thinking as they are written for Gemini."""

from dataclasses import replace
from typing import Any

import pytest

from broker.domain.caps import Caps, ThinkingForm
from broker.protocols.canonical.parts import (
    TextPart,
)
from broker.protocols.canonical.request import (
    Format,
    FormatKind,
    Reasoning,
    Request,
    Role,
    Sampling,
    Thinking,
    Turn,
)
from broker.protocols.gemini_generate_content import CODEC
from tests.protocols.gemini_generate_content.asking import refused, write

USER = Turn(role=Role.USER, parts=(TextPart(text="Hello", path="/u"),), path="/0")
HELLO = Request(turns=(USER,))
BUDGET = Caps(thinking=ThinkingForm.BUDGET, mid_system=False)
OLD = replace(CODEC.caps, schema_field="responseSchema")


def config_of(**changes: Any) -> tuple[Any, list[tuple[str, str, str]]]:
    written, losses = write(HELLO, **changes)
    return written.body.get("generationConfig"), losses


def test_sampling_and_limits() -> None:
    sampling = Sampling(
        temperature=0.5,
        top_p=0.9,
        top_k=4,
        seed=-(2**31),
        presence_penalty=1,
        frequency_penalty=-1,
        logprobs=True,
        top_logprobs=5,
    )
    config, losses = config_of(sampling=sampling, max_output_tokens=7, stop=("a", "b"))
    assert config == {
        "maxOutputTokens": 7,
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 4,
        "seed": -(2**31),
        "presencePenalty": 1,
        "frequencyPenalty": -1,
        "responseLogprobs": True,
        "logprobs": 5,
        "stopSequences": ["a", "b"],
    }
    assert losses == []


@pytest.mark.parametrize(
    ("changes", "caps", "expected", "code"),
    [
        ({"sampling": Sampling(temperature=2.5)}, {}, {"temperature": 2.0}, "clamped"),
        ({"sampling": Sampling(temperature=0.5)}, {"sampling": False}, None, "unsupported_field"),
        ({"sampling": Sampling(top_k=1)}, {"sampling": False}, None, "unsupported_field"),
        ({"sampling": Sampling(seed=2**31)}, {}, None, "out_of_range"),
        ({"sampling": Sampling(seed=1)}, {"seed": False}, None, "unsupported_field"),
        ({"sampling": Sampling(presence_penalty=1)}, {"penalties": False}, None, "unsupported_field"),
        ({"sampling": Sampling(logprobs=True)}, {"logprobs": False}, None, "unsupported_field"),
        ({"sampling": Sampling(logit_bias={"1": 1})}, {}, None, "unsupported_field"),
        ({"sampling": Sampling(verbosity="low")}, {}, None, "unsupported_field"),
        ({"stop": tuple("abcdef")}, {}, {"stopSequences": list("abcde")}, "clamped"),
        ({"stop": ("", "a")}, {}, {"stopSequences": ["a"]}, "blank_stop"),
        ({"stop": ("a",)}, {"stop": False}, None, "unsupported_field"),
        ({"max_output_tokens": 9}, {"max_output_tokens": 8}, {"maxOutputTokens": 8}, "clamped"),
    ],
)
def test_what_changes_the_answer_is_a_loss(changes: Any, caps: Any, expected: Any, code: str) -> None:
    config, losses = config_of(**changes, caps=replace(CODEC.caps, **caps))
    assert config == expected
    assert [(found, loss_class) for found, loss_class, _ in losses] == [(code, "sampling")]
    assert len(refused(HELLO, **changes, caps=replace(CODEC.caps, **caps))) == 1


def test_several_answers_come_at_once_or_one_by_one() -> None:
    pointers = {"n": "/n"}
    several, losses = write(HELLO, n=3, pointers=pointers, caps=replace(CODEC.caps, choices=True))
    assert (several.fan_out, several.body["generationConfig"], losses) == (1, {"candidateCount": 3}, [])
    one, losses = write(HELLO, n=3, pointers=pointers)
    assert (one.fan_out, "generationConfig" in one.body, losses) == (3, False, [("fan_out", "semantic", "/n")])
    assert write(HELLO, n=9, caps=replace(CODEC.caps, choices=True))[0].fan_out == 9


SCHEMA = {"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]}


def test_formats() -> None:
    assert config_of(format=Format(kind=FormatKind.TEXT)) == (None, [])
    assert config_of(format=Format(kind=FormatKind.JSON_OBJECT)) == ({"responseMimeType": "application/json"}, [])
    wanted = Format(kind=FormatKind.JSON_SCHEMA, name="x", schema=SCHEMA, strict=True)
    json_type = {"responseMimeType": "application/json"}
    assert config_of(format=wanted) == ({**json_type, "responseJsonSchema": SCHEMA}, [])
    assert config_of(format=wanted, caps=OLD) == (
        {
            **json_type,
            "responseSchema": {
                "type": "OBJECT",
                "properties": {"a": {"type": "STRING", "nullable": True}},
                "required": ["a"],
            },
        },
        [],
    )


def test_constraints_that_gemini_reads_over_are_named() -> None:
    schema = {
        "type": "object",
        "properties": {"pattern": {"type": "string", "pattern": "^a"}, "b": {"$ref": "#/x", "title": "B"}},
    }
    wanted = Format(kind=FormatKind.JSON_SCHEMA, schema=schema, path="/f")
    assert refused(HELLO, format=wanted) == [("schema_keyword", "sampling", "/f")]
    config, losses = config_of(format=wanted)
    assert config["responseJsonSchema"] == schema
    assert losses == [("schema_keyword", "sampling", "/f")]


@pytest.mark.parametrize(
    ("reasoning", "caps", "expected", "losses"),
    [
        (Reasoning(mode=Thinking.OFF), {"thinking_off": True}, {"thinkingBudget": 0}, []),
        (Reasoning(mode=Thinking.OFF), {"thinking_off": False}, {"thinkingBudget": 128}, ["clamped"]),
        (Reasoning(mode=Thinking.AUTO, summary=True), {}, {"thinkingBudget": -1, "includeThoughts": True}, []),
        (Reasoning(mode=Thinking.ON, effort="medium"), {}, {"thinkingBudget": 8192}, []),
        (Reasoning(mode=Thinking.ON, effort="max"), {"thinking_budget_max": 32768}, {"thinkingBudget": 32768}, []),
        (Reasoning(mode=Thinking.ON, budget_tokens=99_999), {}, {"thinkingBudget": 24_576}, ["clamped"]),
        (Reasoning(mode=Thinking.ON, budget_tokens=77), {}, {"thinkingBudget": 77}, []),
    ],
)
def test_thinking_by_budget(reasoning: Reasoning, caps: Any, expected: Any, losses: list[str]) -> None:
    config, noted = config_of(reasoning=reasoning, caps=replace(BUDGET, **caps))
    assert config == {"thinkingConfig": expected}
    assert [code for code, _, _ in noted] == losses


@pytest.mark.parametrize(
    ("reasoning", "expected", "losses"),
    [
        (Reasoning(mode=Thinking.OFF), {"thinkingLevel": "LOW"}, [("clamped", "sampling")]),
        (Reasoning(mode=Thinking.AUTO), None, []),
        (Reasoning(mode=Thinking.AUTO, summary=True), {"includeThoughts": True}, []),
        (Reasoning(mode=Thinking.ON, effort="high"), {"thinkingLevel": "HIGH"}, []),
        (Reasoning(mode=Thinking.ON, effort="max"), {"thinkingLevel": "HIGH"}, [("clamped", "sampling")]),
        (Reasoning(mode=Thinking.ON, effort="minimal"), {"thinkingLevel": "LOW"}, [("clamped", "sampling")]),
        (
            Reasoning(mode=Thinking.ON, budget_tokens=4096),
            {"thinkingLevel": "MEDIUM"},
            [("budget_to_effort", "semantic")],
        ),
    ],
)
def test_thinking_by_level(reasoning: Reasoning, expected: Any, losses: list[tuple[str, str]]) -> None:
    config, noted = config_of(reasoning=reasoning)
    assert config == (expected and {"thinkingConfig": expected})
    assert [(code, loss_class) for code, loss_class, _ in noted] == losses


def test_a_model_that_does_not_think_is_not_told_to() -> None:
    plain = replace(CODEC.caps, thinking=ThinkingForm.NONE)
    assert config_of(reasoning=Reasoning(mode=Thinking.OFF), caps=plain) == (None, [])
    assert config_of(reasoning=Reasoning(mode=Thinking.ON, effort="low", path="/r"), caps=plain) == (
        None,
        [("unsupported_field", "sampling", "/r")],
    )


def test_identity() -> None:
    pointers = {"user_id": "/u", "metadata": "/m", "service_tier": "/t"}
    written, losses = write(HELLO, user_id="u", metadata={"a": "b"}, service_tier="default", pointers=pointers)
    assert written.body["serviceTier"] == "standard"
    assert losses == [("unsupported_field", "hint", "/u"), ("unsupported_field", "hint", "/m")]
    assert "serviceTier" not in write(HELLO, service_tier="auto")[0].body
    assert write(HELLO, service_tier="scale", pointers=pointers)[1] == [("unsupported_field", "hint", "/t")]
