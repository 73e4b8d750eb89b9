"""Tools, formats and the pairing of calls and results in chats."""

from typing import Any

import orjson
import pytest

from workers.provider_sim.call import Refused, TextCall
from workers.provider_sim.openai.chat_requests import read_chat

ASK: Any = {"role": "user", "content": "ask"}
CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


def calls(*ids: str) -> dict[str, Any]:
    made = [{"id": one, "type": "function", "function": {"name": "f", "arguments": "{}"}} for one in ids]
    return {"role": "assistant", "content": None, "tool_calls": made}


def result(call_id: str, content: object = "42") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def tool(**fields: object) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": {"name": "f", "parameters": CLOSED, **fields}}]}


def form(**fields: object) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "x", **fields}}}


def read(**fields: Any) -> TextCall:
    return read_chat("m", {"model": "m", "messages": [ASK], **fields}, {})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"messages": [ASK, calls("a", "b"), result("a")]}, "did not have response messages: b"),
        ({"messages": [ASK, calls("a"), ASK]}, "did not have response messages: a"),
        ({"messages": [ASK, calls("a"), ASK, calls("b"), result("b")]}, "did not have response messages: a"),
        ({"messages": [ASK, result("a")]}, "must be a response to a preceeding message with 'tool_calls'"),
        ({"messages": [ASK, calls("a"), result("a"), ASK, result("a")]}, "must be a response to a preceeding"),
        ({"messages": [ASK, calls("a"), result("b")]}, "must be a response to a preceeding"),
        ({"messages": [ASK, calls()]}, "empty array"),
        ({"messages": [ASK, calls("a"), result("a", [{"type": "image_url"}])]}, "the result of a tool is a text"),
        ({"messages": [{"role": "model", "content": "x"}]}, "supported values are"),
        ({"tool_choice": "auto"}, "only allowed when 'tools' are specified"),
        ({**tool(), "tool_choice": "any"}, "expected 'none', 'auto', 'required' or a tool"),
        ({**tool(), "tool_choice": {"type": "function", "function": {"name": "g"}}}, "not found in 'tools'"),
        (tool(name="a.b"), "does not match pattern"),
        (tool(parameters={"type": "string"}), 'type: "object"'),
        (tool(parameters={"type": "object", "properties": {"a": {}}}, strict=True), "'additionalProperties'"),
        (tool(parameters={**CLOSED, "required": []}, strict=True), "Missing 'a'"),
        (form(), "response_format.schema"),
        (form(schema={**CLOSED, "allOf": []}, strict=True), "'allOf' is not permitted"),
        ({"response_format": {"type": "json_object"}}, "must contain the word 'json'"),
        ({"response_format": {"type": "xml"}}, "supported types are"),
        ({"stop": list("abcde")}, "up to 4"),
    ],
)
def test_what_is_wrong_is_said_in_the_apis_words(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused) as raised:
        read(**fields)
    assert raised.value.reply.status == 400
    assert words in orjson.loads(raised.value.reply.body)["error"]["message"]


def test_results_come_in_any_order_and_the_prompt_stays() -> None:
    heard = read(messages=[ASK, calls("a", "b"), result("b"), result("a")], **tool(strict=True))
    assert heard.prompt == "ask"
    assert heard.wish is not None
    assert heard.wish.has_results


def test_a_plain_chat_has_no_wish() -> None:
    assert read(temperature=0, max_tokens=5).wish is None


@pytest.mark.parametrize(
    "fields",
    [
        form(schema=CLOSED, strict=True),
        {"structured_outputs": {"json": CLOSED}},
        {"structured_outputs": {"json": orjson.dumps(CLOSED).decode()}},
        {"response_format": {"type": "json_object", "schema": CLOSED}},
    ],
)
def test_every_way_to_ask_for_a_schema_is_read(fields: dict[str, Any]) -> None:
    wish = read(**fields).wish
    assert wish is not None
    assert (wish.wants_json, wish.schema) == (True, CLOSED)


def test_a_subset_of_the_tools_may_be_chosen() -> None:
    both = [{"type": "function", "function": {"name": name}} for name in ("f", "g")]
    chosen = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": both[1:]}}
    wish = read(tools=both, tool_choice=chosen).wish
    assert wish is not None
    assert (wish.choice.mode, wish.choice.names) == ("auto", ("g",))
