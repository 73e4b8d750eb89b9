"""Reads requests as a server of each vendor would, as far as tests compare them: apart from our codecs."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from broker.domain.dialect import Dialect

_MARK = re.compile(r"result <\d+>")


def paired(dialect: Dialect, body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name of each call, and the mark that its result carries (empty without one), in the order of the calls."""
    match dialect:
        case Dialect.OPENAI_CHAT:
            events = _chat(body["messages"])
        case Dialect.OPENAI_RESPONSES:
            events = _responses(body["input"])
        case Dialect.ANTHROPIC_MESSAGES:
            events = _messages(body["messages"])
        case _:
            events = _contents(body["contents"])
    pairs: list[tuple[str, str]] = []
    waiting: dict[str, int] = {}
    was_result = False
    for event in events:
        match event:
            case (str(call_id), str(name), None):
                if was_result:
                    waiting = {}  # what was not answered then, is not answered by a later result
                waiting[call_id] = len(pairs)
                pairs.append((name, ""))
                was_result = False
            case (str(call_id), _, content):
                if call_id in waiting:
                    place = waiting.pop(call_id)
                    found = _MARK.search(json.dumps(content))
                    pairs[place] = (pairs[place][0], found[0] if found else "")
                was_result = True
    return pairs


def tool_names(dialect: Dialect, body: Mapping[str, Any]) -> list[str]:
    """The names of the tools that the model may ask for."""
    tools = body.get("tools") or []
    match dialect:
        case Dialect.OPENAI_CHAT:
            return [tool["function"]["name"] for tool in tools]
        case Dialect.GEMINI_GENERATE_CONTENT:
            return [each["name"] for tool in tools for each in tool.get("functionDeclarations", [])]
        case _:
            return [tool["name"] for tool in tools]


Event = tuple[str, str, Any]
"""Id and name of a call, and `None`; or the id of a call and its result."""


def _chat(messages: Any) -> Iterator[Event]:
    for message in messages:
        for call in message.get("tool_calls") or []:
            yield call["id"], call["function"]["name"], None
        if message["role"] == "tool":
            yield message["tool_call_id"], "", message["content"]


def _responses(items: Any) -> Iterator[Event]:
    for item in [] if isinstance(items, str) else items:
        match item.get("type"):
            case "function_call":
                yield item["call_id"], item["name"], None
            case "function_call_output":
                yield item["call_id"], "", item["output"]


def _messages(messages: Any) -> Iterator[Event]:
    for message in messages:
        for block in message["content"] if isinstance(message["content"], list) else []:
            match block["type"]:
                case "tool_use":
                    yield block["id"], block["name"], None
                case "tool_result":
                    yield block["tool_use_id"], "", block.get("content", "")


def _contents(contents: Any) -> Iterator[Event]:
    """Calls and results without ids are paired by name and order."""
    for content in contents:
        calls: Counter[str] = Counter()
        results: Counter[str] = Counter()
        for part in content.get("parts", []):
            call = part.get("functionCall") or part.get("function_call")
            answer = part.get("functionResponse") or part.get("function_response")
            if call:
                calls[call["name"]] += 1
                yield call.get("id") or f"{call['name']}/{calls[call['name']]}", call["name"], None
            if answer:
                results[answer["name"]] += 1
                yield answer.get("id") or f"{answer['name']}/{results[answer['name']]}", "", answer["response"]
