"""Reads requests for responses: what to answer, and how large it is."""

from collections.abc import Mapping

import orjson
from pydantic import JsonValue

from workers.provider_sim.answers import tokens_of
from workers.provider_sim.call import Refused, TextCall
from workers.provider_sim.names import names
from workers.provider_sim.openai.errors import invalid_value, refused
from workers.provider_sim.openai.tools import read_choice, read_format, read_tools
from workers.provider_sim.openai.values import whole
from workers.provider_sim.prompts import Conversation, text_of
from workers.provider_sim.vendor import Body
from workers.provider_sim.wishes import Wish

_MOST_TOKENS = 10_000_000
_LEAST_TOKENS = 16
_KNOWN = names(
    "background context_management conversation include input instructions max_output_tokens max_tool_calls "
    "metadata model moderation parallel_tool_calls previous_response_id prompt prompt_cache_key "
    "prompt_cache_options prompt_cache_retention reasoning safety_identifier service_tier store stream "
    "stream_options temperature text tool_choice tools top_logprobs top_p truncation user"
)
_NOT_SIMULATED = ("stream", "background", "conversation", "prompt")
_IN = frozenset({"input_text", "input_image", "input_file"})
_PARTS = {
    "user": _IN,
    "system": _IN,
    "developer": _IN,
    "assistant": frozenset({"output_text", "refusal"}),
}


def read_response(model: str, body: Body, headers: Mapping[str, str]) -> TextCall:  # noqa: ARG001 - says all in its body
    """Read a request for a response; raises `Refused`."""
    _check_parameters(body)
    conversation = Conversation()
    if isinstance(instructions := body.get("instructions"), str):
        conversation.hear("system", instructions, tokens_of(instructions))
    said = body.get("input")
    if said is None:
        raise refused("Missing required parameter: 'input'.", param="input", code="missing_required_parameter")
    if isinstance(said, str):
        conversation.hear("user", said, tokens_of(said))
    else:
        _hear_items(said, conversation)
    maximum = body.get("max_output_tokens")
    tools = read_tools(body.get("tools"), is_nested=False)
    if tools:
        conversation.tokens += len(orjson.dumps(body["tools"])) // 4
    text = body.get("text")
    wants_json, schema = read_format(
        text.get("format") if isinstance(text, dict) else None,
        "text.format",
        is_nested=False,
        says_json=b"json" in orjson.dumps([said, body.get("instructions")]).lower(),
    )
    return TextCall(
        model=model,
        prompt=conversation.prompt,
        input_tokens=conversation.tokens,
        max_output_tokens=None
        if maximum is None
        else whole("max_output_tokens", maximum, most=_MOST_TOKENS, least=_LEAST_TOKENS),
        wish=Wish(
            wants_json=wants_json,
            schema=schema,
            tools=tools,
            choice=read_choice(body.get("tool_choice"), tools, is_nested=False),
            may_be_parallel=body.get("parallel_tool_calls") is not False,
            has_results=conversation.has_results,
            shows_reasoning=isinstance(body.get("reasoning"), dict),
        ),
    )


def _check_parameters(body: dict[str, JsonValue]) -> None:
    unknown = body.keys() - _KNOWN
    if unknown:
        name = min(unknown)
        raise refused(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    for name in _NOT_SIMULATED:
        if body.get(name):
            raise refused(f"'{name}' is not simulated.", param=name, code="unsupported_value")
    previous = body.get("previous_response_id")
    if previous is not None:
        message = f"Previous response with id '{previous}' not found."
        raise refused(message, param="previous_response_id", code="previous_response_not_found")


def _hear_items(items: JsonValue, conversation: Conversation) -> None:
    """Listen to all items, and check that every call of a tool has its result; raises `Refused`."""
    if not isinstance(items, list) or not items:
        raise invalid_value("input", "expected a string or a non-empty array of items")
    called: dict[str, bool] = {}
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise invalid_value(f"input[{index}]", "expected an object")
        _hear_item(item, f"input[{index}]", called, conversation)
    unanswered = [call_id for call_id, has_result in called.items() if not has_result]
    if unanswered:
        raise refused(f"No tool output found for function call {unanswered[0]}.", param="input")


def _hear_item(item: dict[str, JsonValue], place: str, called: dict[str, bool], conversation: Conversation) -> None:
    match item.get("type", "message"):
        case "message":
            _hear_message(item, place, conversation)
        case "function_call":
            conversation.hear("assistant", "", _hear_call(item, place, called))
        case "function_call_output":
            conversation.hear_result(_hear_output(item, place, called))
        case "reasoning":
            if not isinstance(item.get("summary"), list) or not isinstance(item.get("id"), str):
                raise _missing(f"{place}.summary")
            conversation.hear("assistant", "", len(orjson.dumps(item)) // 4)
        case "item_reference":
            raise refused(f"Item with id '{item.get('id')}' not found.", param=place, code="item_not_found")
        case other:
            raise invalid_value(f"{place}.type", f"items of type '{other}' are not simulated")


def _hear_message(item: dict[str, JsonValue], place: str, conversation: Conversation) -> None:
    role, content = item.get("role"), item.get("content")
    if not isinstance(role, str) or role not in _PARTS:
        raise invalid_value(f"{place}.role", f"supported values are {', '.join(_PARTS)}")
    if not isinstance(content, str | list):
        raise _missing(f"{place}.content")
    for nth, part in enumerate(content if isinstance(content, list) else ()):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in _PARTS[role]:
            supported = ", ".join(f"'{name}'" for name in sorted(_PARTS[role]))
            raise refused(
                f"Invalid value: '{kind}'. Supported values are: {supported}.",
                param=f"{place}.content[{nth}].type",
                code="invalid_value",
            )
    conversation.hear(role, *text_of(content))


def _hear_call(item: dict[str, JsonValue], place: str, called: dict[str, bool]) -> int:
    for name in ("call_id", "name", "arguments"):
        if not isinstance(item.get(name), str):
            raise _missing(f"{place}.{name}")
    called[str(item["call_id"])] = False
    return len(orjson.dumps(item)) // 4


def _hear_output(item: dict[str, JsonValue], place: str, called: dict[str, bool]) -> int:
    call_id, output = item.get("call_id"), item.get("output")
    if not isinstance(call_id, str):
        raise _missing(f"{place}.call_id")
    if call_id not in called:
        message = f"No tool call found for function call output with call_id {call_id}."
        raise refused(message, param="input")
    if not isinstance(output, str | list):
        raise _missing(f"{place}.output")
    called[call_id] = True
    return text_of(output)[1]


def _missing(param: str) -> Refused:
    return refused(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")
