"""Tools and the choice among them are written as Anthropic takes them."""

from dataclasses import replace
from typing import Any

import pytest

from broker.domain.loss import LossClass
from broker.protocols.canonical.request import ChoiceMode, Request, ToolChoice, ToolKind
from tests.protocols.anthropic_messages.builders import (
    NEWEST,
    a_call,
    a_request,
    a_result,
    a_tool,
    assistant,
    dropped,
    refused,
    sent,
    user,
)

CLOSED = {
    "type": "object",
    "properties": {"x": {"type": "string"}},
    "required": ["x"],
    "additionalProperties": False,
}


def choosing(mode: ChoiceMode, *names: str, **changes: Any) -> Request:
    choice = ToolChoice(mode=mode, names=names, path="/tool_choice")
    return a_request(tools=(a_tool("f"), a_tool("g"), a_tool("h")), tool_choice=choice, **changes)


def test_a_definition_is_written_whole() -> None:
    outcome = sent(a_request(tools=(a_tool("f", description="Finds", schema=CLOSED, strict=True),)))
    assert outcome.body["tools"] == [{"name": "f", "description": "Finds", "input_schema": CLOSED, "strict": True}]
    assert "tool_choice" not in outcome.body
    assert outcome.losses == ()


def test_a_schema_is_always_of_an_object() -> None:
    tools = (a_tool("f", schema=None), a_tool("g", schema={"properties": {"x": {}}}))
    first, second = sent(a_request(tools=tools)).body["tools"]
    assert first["input_schema"] == {"type": "object"}
    assert second["input_schema"] == {"properties": {"x": {}}, "type": "object"}
    assert refused(a_request(tools=(a_tool(schema={"type": "string"}),))) == [("schema_keyword", "/tools/0")]


def test_bounds_of_a_tool_that_is_not_strict_stay() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    outcome = sent(a_request(tools=(a_tool(schema=schema, strict=False),)))
    assert outcome.body["tools"][0] == {"name": "look", "input_schema": schema}
    assert outcome.losses == ()


def test_a_choice_at_the_top_of_a_schema_is_refused_or_left_out() -> None:
    schema = {"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}
    request = a_request(tools=(a_tool(schema=schema),))
    assert refused(request) == [("schema_keyword", "/tools/0")]
    assert dropped(request).body["tools"][0]["input_schema"] == {"type": "object"}
    assert "anyOf" in schema


@pytest.mark.parametrize(
    ("schema", "caps"),
    [
        (CLOSED, replace(NEWEST, strict_tools=False)),
        ({**CLOSED, "additionalProperties": True}, NEWEST),
        ({"type": "object", "properties": {"x": {"type": "string"}}}, NEWEST),
        ({**CLOSED, "properties": {"x": {"type": "string", "maxLength": 3}}}, NEWEST),
        (None, NEWEST),
    ],
)
def test_strict_is_left_out_where_it_cannot_hold(schema: Any, caps: Any) -> None:
    outcome = sent(a_request(tools=(a_tool(schema=schema, strict=True),)), caps)
    assert "strict" not in outcome.body["tools"][0]
    assert [(loss.code, loss.loss_class) for loss in outcome.losses] == [("strict_dropped", LossClass.HINT)]


@pytest.mark.parametrize(("kind", "code"), [(ToolKind.HOSTED, "hosted_tool"), (ToolKind.CUSTOM, "custom_tool")])
def test_tools_of_others_are_refused_or_left_out(kind: ToolKind, code: str) -> None:
    request = a_request(tools=(a_tool("theirs", kind=kind, schema=None), a_tool("mine")))
    assert refused(request) == [(code, "/tools/0")]
    assert [tool["name"] for tool in dropped(request).body["tools"]] == ["mine"]


@pytest.mark.parametrize(
    ("mode", "names", "written"),
    [
        (ChoiceMode.AUTO, (), {"type": "auto"}),
        (ChoiceMode.REQUIRED, (), {"type": "any"}),
        (ChoiceMode.REQUIRED, ("g",), {"type": "tool", "name": "g"}),
        (ChoiceMode.NONE, (), {"type": "none"}),
    ],
)
def test_choices_are_written(mode: ChoiceMode, names: tuple[str, ...], written: dict[str, Any]) -> None:
    outcome = sent(choosing(mode, *names))
    assert outcome.body["tool_choice"] == written
    assert [tool["name"] for tool in outcome.body["tools"]] == ["f", "g", "h"]
    assert outcome.losses == ()
    alone = sent(choosing(mode, *names, parallel_tools=False)).body["tool_choice"]
    flag = {} if mode is ChoiceMode.NONE else {"disable_parallel_tool_use": True}
    assert alone == {**written, **flag}


def test_calls_one_at_a_time_need_no_choice_of_the_producer_s() -> None:
    outcome = sent(a_request(tools=(a_tool(),), parallel_tools=False))
    assert outcome.body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert "tool_choice" not in sent(a_request(tools=(a_tool(),), parallel_tools=True)).body
    assert "tool_choice" not in sent(a_request(parallel_tools=False)).body


@pytest.mark.parametrize(("mode", "kind"), [(ChoiceMode.AUTO, "auto"), (ChoiceMode.REQUIRED, "any")])
def test_a_choice_among_some_sends_only_these(mode: ChoiceMode, kind: str) -> None:
    outcome = sent(choosing(mode, "f", "h"))
    assert [tool["name"] for tool in outcome.body["tools"]] == ["f", "h"]
    assert outcome.body["tool_choice"] == {"type": kind}
    assert [(loss.code, loss.loss_class) for loss in outcome.losses] == [("tools_left_out", LossClass.SEMANTIC)]


def test_a_choice_of_a_tool_that_is_not_there_is_refused_or_left_out() -> None:
    request = choosing(ChoiceMode.REQUIRED, "nobody")
    assert refused(request) == [("unknown_tool", "/tool_choice")]
    outcome = dropped(request)
    assert len(outcome.body["tools"]) == 3
    assert "tool_choice" not in outcome.body


def test_a_choice_without_tools_is_never_sent() -> None:
    choice = ToolChoice(mode=ChoiceMode.AUTO, path="/tool_choice")
    outcome = sent(a_request(tool_choice=choice))
    assert not outcome.body.keys() & {"tools", "tool_choice"}
    assert outcome.codes == ["choice_without_tools"]
    forced = replace(choice, mode=ChoiceMode.REQUIRED)
    assert refused(a_request(tool_choice=forced)) == [("choice_without_tools", "/tool_choice")]


def test_history_with_calls_gets_definitions_that_may_not_be_called() -> None:
    calls = (a_call("1", name="f"), a_call("2", name="g"), a_call("3", name="f"))
    outcome = sent(a_request(user("a"), assistant(*calls), user(*(a_result(call.id, "x") for call in calls))))
    assert outcome.body["tools"] == [
        {"name": "f", "input_schema": {"type": "object"}},
        {"name": "g", "input_schema": {"type": "object"}},
    ]
    assert outcome.body["tool_choice"] == {"type": "none"}
    assert [(loss.code, loss.path) for loss in outcome.losses] == [("tools_synthesised", calls[0].path)]
