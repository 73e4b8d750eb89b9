"""The prompt of a conversation is the same in every protocol that it may be written in."""

from typing import Any

import pytest

from workers.provider_sim.prompts import prompt_of

TOOL_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
USE = {"type": "tool_use", "id": "c1", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "c1", "content": "42"}


def text(value: str) -> dict[str, str]:
    return {"type": "text", "text": value}


def item(role: str, value: str) -> dict[str, Any]:
    return {"role": role, "content": value}


def content(role: str, *parts: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"text": part} for part in parts]}


TWO_MESSAGES = "two messages of the user in a row"
AFTER_RESULT = "a result, and nothing after it"
TEXT_AFTER_RESULT = "a text after a result"
SYSTEM_BETWEEN = "the operator speaks in between"

CONVERSATIONS = [
    (TWO_MESSAGES, {"messages": [item("user", "x"), item("assistant", "y"), item("user", "la"), item("user", "st")]}),
    (TWO_MESSAGES, {"messages": [{"role": "user", "content": [text("la"), text("st")]}]}),
    (TWO_MESSAGES, {"input": [item("user", "la"), item("user", "st")]}),
    (TWO_MESSAGES, {"input": "last"}),
    (TWO_MESSAGES, {"contents": [content("user", "x"), content("model", "y"), content("user", "la", "st")]}),
    (
        AFTER_RESULT,
        {
            "messages": [
                item("user", "last"),
                {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": "42"},
            ]
        },
    ),
    (
        AFTER_RESULT,
        {
            "messages": [
                item("user", "last"),
                {"role": "assistant", "content": [USE]},
                {"role": "user", "content": [RESULT]},
            ]
        },
    ),
    (
        AFTER_RESULT,
        {
            "input": [
                item("user", "last"),
                {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "42"},
            ]
        },
    ),
    (
        AFTER_RESULT,
        {
            "contents": [
                content("user", "last"),
                {"role": "model", "parts": [{"function_call": {"name": "f"}}]},
                {"role": "user", "parts": [{"function_response": {"name": "f", "response": {"output": "42"}}}]},
            ]
        },
    ),
    (
        TEXT_AFTER_RESULT,
        {
            "messages": [
                item("user", "x"),
                {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": "42"},
                item("user", "last"),
            ]
        },
    ),
    (
        TEXT_AFTER_RESULT,
        {
            "messages": [
                item("user", "x"),
                {"role": "assistant", "content": [USE]},
                {"role": "user", "content": [RESULT, text("last")]},
            ]
        },
    ),
    (SYSTEM_BETWEEN, {"messages": [item("user", "la"), item("system", "s"), item("user", "st")]}),
    ("nobody speaks but the operator", {"messages": [item("system", "last")]}),
]


@pytest.mark.parametrize(("what", "body"), CONVERSATIONS)
def test_the_prompt_is_the_text_of_the_users_last_turn(what: str, body: dict[str, Any]) -> None:
    assert prompt_of(body) == "last", what
