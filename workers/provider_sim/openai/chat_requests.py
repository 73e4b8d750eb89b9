"""Reads chat completion requests: what to answer, and how large it is."""

from collections.abc import Mapping

import orjson
from pydantic import JsonValue

from workers.provider_sim.call import TextCall
from workers.provider_sim.openai.errors import invalid_value, refused
from workers.provider_sim.openai.tools import read_choice, read_format, read_tools
from workers.provider_sim.openai.values import or_else, stops, whole
from workers.provider_sim.prompts import Conversation, text_of
from workers.provider_sim.vendor import Body
from workers.provider_sim.wishes import Wish

_MOST_CHOICES = 128
_MOST_TOKENS = 10_000_000
_WISHES = frozenset({"tools", "tool_choice", "response_format", "structured_outputs", "stop"})
_NONE: frozenset[str] = frozenset()
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})


def read_chat(model: str, body: Body, headers: Mapping[str, str]) -> TextCall:  # noqa: ARG001 - says all in its body
    """Read a chat completion request; raises `Refused`."""
    if body.get("stream"):
        raise refused("Streaming is not simulated.", param="stream", code="unsupported_value")
    conversation = _conversation(body.get("messages"))
    tools = body.get("tools")
    if tools:
        conversation.tokens += len(orjson.dumps(tools)) // 4
    maximum = body.get("max_completion_tokens")
    if maximum is None:
        maximum = body.get("max_tokens")
    return TextCall(
        model=model,
        prompt=conversation.prompt,
        input_tokens=conversation.tokens,
        max_output_tokens=None if maximum is None else whole("max_tokens", maximum, most=_MOST_TOKENS),
        choices=whole("n", or_else(body.get("n"), 1), most=_MOST_CHOICES),
        wish=None if _WISHES.isdisjoint(body) else _wish(body, conversation),
    )


def _wish(body: dict[str, JsonValue], conversation: Conversation) -> Wish:
    tools = read_tools(body.get("tools"), is_nested=True)
    wants_json, schema = read_format(
        body.get("response_format"), "response_format", is_nested=True, says_json=_mentions_json(body["messages"])
    )
    structured = body.get("structured_outputs")
    if isinstance(structured, dict) and structured.get("json") is not None:
        # vLLM's own field; its schema may come as a text.
        given = structured["json"]
        wants_json, schema = True, orjson.loads(given) if isinstance(given, str) else given
    return Wish(
        wants_json=wants_json,
        schema=schema,
        tools=tools,
        choice=read_choice(body.get("tool_choice"), tools, is_nested=True),
        may_be_parallel=body.get("parallel_tool_calls") is not False,
        has_results=conversation.has_results,
        stops=stops(body.get("stop")),
    )


def _mentions_json(messages: JsonValue) -> bool:
    return b"json" in orjson.dumps(messages).lower()


def _conversation(messages: JsonValue) -> Conversation:
    """Listen to all messages, and check that every call of a tool has its result; raises `Refused`."""
    if messages is None:
        raise refused("Missing required parameter: 'messages'.", param="messages", code="missing_required_parameter")
    if not isinstance(messages, list) or not messages:
        raise invalid_value("messages", "expected a non-empty array of messages")
    conversation = Conversation()
    called = _NONE
    waiting: set[str] = set()
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(role := message.get("role"), str) or role not in _ROLES:
            raise invalid_value(f"messages[{index}].role", f"supported values are {', '.join(sorted(_ROLES))}")
        text, size = text_of(message.get("content"))
        if role == "tool":
            _answer(message, called, waiting, index)
            conversation.hear_result(size)
            continue
        if waiting:
            raise _unanswered(waiting)
        called = _NONE
        if role == "function":
            conversation.hear_result(size)
            continue
        if role == "assistant" and (calls := message.get("tool_calls")) is not None:
            called = _calls(calls, index)
            waiting = set(called)
            size += len(orjson.dumps(calls)) // 4
        conversation.hear(role, text, size)
    if waiting:
        raise _unanswered(waiting)
    return conversation


def _calls(calls: JsonValue, index: int) -> frozenset[str]:
    """Return the ids of an assistant's calls; raises `Refused`."""
    place = f"messages[{index}].tool_calls"
    if not isinstance(calls, list) or not calls:
        raise refused(f"Invalid '{place}': empty array. Expected an array with minimum length 1.", param=place)
    ids = set()
    for nth, call in enumerate(calls):
        at = f"{place}[{nth}]"
        if not isinstance(call, dict) or not isinstance(call.get("id"), str):
            raise refused(f"Missing required parameter: '{at}.id'.", param=at, code="missing_required_parameter")
        function = call.get("function")
        if call.get("type") == "function" and (
            not isinstance(function, dict)
            or not isinstance(function.get("name"), str)
            or not isinstance(function.get("arguments"), str)
        ):
            raise refused(f"Invalid type for '{at}.function': a name and arguments as text are needed.", param=at)
        ids.add(str(call["id"]))
    return frozenset(ids)


def _answer(message: dict[str, JsonValue], called: frozenset[str], waiting: set[str], index: int) -> None:
    """Take the result of a call that the last assistant message made; raises `Refused`."""
    place = f"messages[{index}]"
    if message.get("tool_call_id") not in called:
        raise refused(
            "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
            "'tool_calls'.",
            param=f"{place}.role",
        )
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    if not isinstance(content, str | list) or any(not isinstance(p, dict) or p.get("type") != "text" for p in parts):
        raise invalid_value(f"{place}.content", "the result of a tool is a text")
    waiting.discard(str(message["tool_call_id"]))


def _unanswered(waiting: set[str]) -> Exception:
    return refused(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"The following tool_call_ids did not have response messages: {', '.join(sorted(waiting))}",
        param="messages",
    )
