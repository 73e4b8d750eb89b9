"""What the simulated OpenAI takes and refuses as requests for responses."""

from typing import Any

import orjson
import pytest

from workers.provider_sim.call import Refused, TextCall
from workers.provider_sim.openai.responses_requests import read_response
from workers.provider_sim.prompts import prompt_of

ASK = {"role": "user", "content": "ask"}
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}


def call(number: int = 1, **fields: object) -> dict[str, Any]:
    return {"type": "function_call", "call_id": f"c{number}", "name": "f", "arguments": "{}", **fields}


def output(number: int = 1, **fields: object) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": f"c{number}", "output": "42", **fields}


def read(**fields: Any) -> TextCall:
    return read_response("m", {"model": "m", "input": "ask", **fields}, {})


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"messages": [ASK]}, "messages", "Unknown parameter: 'messages'."),
        ({"max_tokens": 5}, "max_tokens", "Unknown parameter"),
        ({"input": None}, "input", "Missing required parameter"),
        ({"input": []}, "input", "non-empty array"),
        ({"max_output_tokens": 15}, "max_output_tokens", "from 16 to"),
        ({"stream": True}, "stream", "not simulated"),
        ({"background": True}, "background", "not simulated"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "not found"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role", "supported values"),
        ({"input": [{"role": "user"}]}, "input[0].content", "Missing required parameter"),
        (
            {"input": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
            "input[0].content[0].type",
            "Invalid value: 'text'. Supported values are: 'input_file', 'input_image', 'input_text'.",
        ),
        (
            {"input": [ASK, {"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}]},
            "input[1].content[0].type",
            "Supported values are: 'output_text', 'refusal'.",
        ),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]", "not found"),
        ({"input": [{"type": "web_search_call"}]}, "input[0].type", "not simulated"),
        ({"input": [ASK, call()]}, "input", "No tool output found for function call c1."),
        ({"input": [ASK, call(), call(2), output(2)]}, "input", "No tool output found for function call c1."),
        ({"input": [ASK, output()]}, "input", "No tool call found for function call output with call_id c1."),
        ({"input": [ASK, call(arguments={}), output()]}, "input[1].arguments", "Missing required parameter"),
        ({"input": [ASK, call(), output(output=None)]}, "input[2].output", "Missing required parameter"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0]", "tools[0].name"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]", "not simulated"),
        ({"tool_choice": "required"}, "tool_choice", "only allowed when 'tools' are specified"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "g"}}, "tool_choice", "not found in 'tools'"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format", "text.format.name"),
        ({"text": {"format": {"type": "json_object"}}}, "text.format", "must contain the word 'json'"),
        (
            {"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}, "strict": True}}},
            "text.format",
            "'additionalProperties' is required",
        ),
    ],
)
def test_a_wrong_parameter_is_named(fields: dict[str, Any], param: str, words: str) -> None:
    with pytest.raises(Refused) as raised:
        read(**fields)
    error = orjson.loads(raised.value.reply.body)["error"]
    assert raised.value.reply.status == 400
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert words in error["message"]


def test_items_make_a_conversation() -> None:
    items: Any = [ASK, {"type": "reasoning", "id": "rs_1", "summary": []}, call(), call(2), output(2), output()]
    heard = read(input=items, instructions="Be short.", tools=[TOOL])
    assert heard.prompt == "ask" == prompt_of({"input": items})
    assert heard.wish is not None
    assert heard.wish.has_results
    assert heard.input_tokens > read().input_tokens
    after = read(input=[*items, {"role": "user", "content": [{"type": "input_text", "text": "and now?"}]}])
    assert after.prompt == "and now?"


def test_tools_and_formats_are_read_flat() -> None:
    wish = read(
        tools=[TOOL],
        tool_choice={"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
        parallel_tool_calls=False,
        text={"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}},
    ).wish
    assert wish is not None
    assert [tool.name for tool in wish.tools] == ["f"]
    assert (wish.choice.mode, wish.choice.names, wish.may_be_parallel) == ("required", ("f",), False)
    assert (wish.wants_json, wish.schema) == (True, {"type": "object"})
