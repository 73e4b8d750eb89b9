"""The settings of a canonical request in OpenAI's words, and what of them cannot be said."""

from typing import Any

import pytest

from broker.domain.caps import Caps, ThinkingForm
from broker.domain.loss import LossClass
from broker.protocols.canonical.parts import TextPart
from broker.protocols.canonical.request import (
    ChoiceMode,
    Format,
    FormatKind,
    Reasoning,
    Request,
    Sampling,
    Thinking,
    Tool,
    ToolChoice,
    ToolKind,
)
from tests.protocols.openai_responses.writing import turn, write, written_of

CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}}


def test_the_least_request_says_that_nothing_is_to_be_stored() -> None:
    body, lost = write()
    assert body == {"model": "gpt-5", "input": [{"role": "user", "content": "Hi."}], "store": False}
    assert lost == []


def test_tools_always_say_whether_they_are_strict() -> None:
    tools = (
        Tool(name="a", description="d", schema=CLOSED, strict=True, path="/a"),
        Tool(name="b", schema=OPEN, path="/b"),
        Tool(name="c", schema=OPEN, strict=True, path="/c"),
        Tool(name="d", path="/d"),
    )
    body, lost = write(tools=tools, parallel_tools=False)
    assert body["tools"] == [
        {"type": "function", "name": "a", "description": "d", "parameters": CLOSED, "strict": True},
        {"type": "function", "name": "b", "parameters": OPEN, "strict": False},
        {"type": "function", "name": "c", "parameters": OPEN, "strict": False},
        {"type": "function", "name": "d", "parameters": None, "strict": False},
    ]
    assert body["parallel_tool_calls"] is False
    assert lost == [("strict_dropped", "/c", LossClass.HINT)]


@pytest.mark.parametrize("kind", [ToolKind.CUSTOM, ToolKind.HOSTED])
def test_tools_of_a_vendor_are_left_out_with_their_choice(kind: ToolKind) -> None:
    tool = Tool(name="x", kind=kind, path="/x")
    choice = ToolChoice(mode=ChoiceMode.REQUIRED, path="/choice")
    body, lost = write(tools=(tool,), tool_choice=choice, parallel_tools=True)
    assert body.keys() == {"model", "input", "store"}
    assert [code for code, _, _ in lost] == [f"{kind}_tool", "choice_without_tools"]


@pytest.mark.parametrize(
    ("mode", "names", "written"),
    [
        (ChoiceMode.AUTO, (), "auto"),
        (ChoiceMode.NONE, (), "none"),
        (ChoiceMode.REQUIRED, (), "required"),
        (ChoiceMode.REQUIRED, ("f",), {"type": "function", "name": "f"}),
        (
            ChoiceMode.AUTO,
            ("f",),
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        ),
    ],
)
def test_choices_are_written(mode: ChoiceMode, names: tuple[str, ...], written: Any) -> None:
    body, _ = write(tools=(Tool(name="f", schema=OPEN),), tool_choice=ToolChoice(mode=mode, names=names))
    assert body["tool_choice"] == written


def test_sampling_that_has_no_words_is_noted() -> None:
    unspoken = {"top_k": 4, "seed": 1, "presence_penalty": 0.5, "frequency_penalty": 0.5, "logit_bias": {"1": 1}}
    body, lost = write(
        sampling=Sampling(temperature=2.5, top_p=0.5, **unspoken),  # type: ignore[arg-type]  # each has its own type
        stop=("END",),
        pointers={name: f"/{name}" for name in (*unspoken, "stop", "temperature")},
    )
    assert (body["temperature"], body["top_p"]) == (2.0, 0.5)
    assert lost == [
        ("clamped", "/temperature", LossClass.SAMPLING),
        *(("unsupported_field", f"/{name}", LossClass.SAMPLING) for name in unspoken),
        ("unsupported_field", "/stop", LossClass.SAMPLING),
    ]


def test_caps_decide_what_sampling_a_model_takes() -> None:
    given = Sampling(temperature=0.5, top_p=0.5, logprobs=True, verbosity="low")
    body, lost = write(sampling=given, caps=Caps(sampling=False, logprobs=False))
    assert body.keys() == {"model", "input", "store"}
    assert [code for code, _, _ in lost] == ["unsupported_field"] * 4
    body, lost = write(sampling=given, caps=Caps(temperature_with_top_p=False, thinking=ThinkingForm.EFFORT))
    assert (body["temperature"], body["text"], "top_p" in body) == (0.5, {"verbosity": "low"}, False)


def test_log_probabilities_are_asked_for_by_what_is_included() -> None:
    body, lost = write(sampling=Sampling(logprobs=True, top_logprobs=5))
    assert (body["include"], body["top_logprobs"], lost) == (["message.output_text.logprobs"], 5, [])
    assert write(sampling=Sampling(logprobs=False))[0].keys() == {"model", "input", "store"}


@pytest.mark.parametrize(("limit", "written"), [(16, 16), (15, 16), (1, 16), (4096, 4096)])
def test_a_limit_below_the_least_is_raised_to_it(limit: int, written: int) -> None:
    body, lost = write(max_output_tokens=limit, pointers={"max_output_tokens": "/max_tokens"})
    assert body["max_output_tokens"] == written
    assert lost == ([] if limit == written else [("clamped", "/max_tokens", LossClass.SAMPLING)])


@pytest.mark.parametrize(
    ("wanted", "written", "codes"),
    [
        (Format(kind=FormatKind.TEXT), None, []),
        (Format(kind=FormatKind.JSON_OBJECT), {"type": "json_object"}, []),
        (
            Format(kind=FormatKind.JSON_SCHEMA, schema=CLOSED, strict=True),
            {"type": "json_schema", "name": "output", "schema": CLOSED, "strict": True},
            [],
        ),
        (
            Format(kind=FormatKind.JSON_SCHEMA, name="n", description="d", schema=OPEN, strict=True),
            {"type": "json_schema", "name": "n", "description": "d", "schema": OPEN},
            ["strict_dropped"],
        ),
        (Format(kind=FormatKind.JSON_SCHEMA), {"type": "json_schema", "name": "output", "schema": {}}, []),
    ],
)
def test_formats_are_written(wanted: Format, written: Any, codes: list[str]) -> None:
    body, lost = write(format=wanted)
    assert body.get("text", {}).get("format") == written
    assert [code for code, _, _ in lost] == codes


def test_a_schema_that_is_not_followed_is_noted() -> None:
    body, lost = write(format=Format(kind=FormatKind.JSON_SCHEMA, path="/f"), caps=Caps(structured_output=False))
    assert "text" not in body
    assert lost == [("unsupported_field", "/f", LossClass.SAMPLING)]


@pytest.mark.parametrize(
    ("reasoning", "caps", "written", "codes"),
    [
        (Reasoning(mode=Thinking.OFF), {}, {"effort": "none"}, []),
        (Reasoning(mode=Thinking.OFF), {"thinking_off": False}, {"effort": "minimal"}, ["clamped"]),
        (Reasoning(mode=Thinking.AUTO), {}, None, []),
        (Reasoning(mode=Thinking.AUTO, summary=True), {}, {"summary": "auto"}, []),
        (Reasoning(mode=Thinking.ON, effort="low", summary=True), {}, {"effort": "low", "summary": "auto"}, []),
        (Reasoning(mode=Thinking.ON, effort="max"), {}, {"effort": "high"}, ["clamped"]),
        (Reasoning(mode=Thinking.ON, budget_tokens=2048), {}, {"effort": "low"}, ["budget_to_effort"]),
        (Reasoning(mode=Thinking.ON, budget_tokens=8192), {}, {"effort": "medium"}, ["budget_to_effort"]),
        (Reasoning(mode=Thinking.ON, budget_tokens=8193), {}, {"effort": "high"}, ["budget_to_effort"]),
        (Reasoning(mode=Thinking.ON, effort="low"), {"thinking": ThinkingForm.NONE}, None, ["unsupported_field"]),
        (Reasoning(mode=Thinking.OFF), {"thinking": ThinkingForm.NONE}, None, []),
    ],
)
def test_reasoning_is_written(reasoning: Reasoning, caps: dict[str, Any], written: Any, codes: list[str]) -> None:
    body, lost = write(reasoning=reasoning, caps=Caps(**{"thinking": ThinkingForm.EFFORT} | caps))
    assert body.get("reasoning") == written
    assert [code for code, _, _ in lost] == codes


def test_several_answers_are_asked_for_one_at_a_time() -> None:
    written, losses = written_of(Request(turns=(turn(TextPart(text="Hi.")),), n=3, pointers={"n": "/n"}))
    assert (written.fan_out, written.path) == (3, "/responses")
    assert [(loss.code, loss.path) for loss in losses.noted] == [("fan_out", "/n")]


def test_identity_is_written() -> None:
    metadata: dict[str, object] = {str(number): "x" for number in range(17)} | {"number": 7}
    body, lost = write(user_id="u", metadata=metadata, service_tier="flex", pointers={"metadata": "/metadata"})
    assert (body["safety_identifier"], body["service_tier"], len(body["metadata"])) == ("u", "flex", 16)
    assert lost == [("clamped", "/metadata", LossClass.HINT)]
