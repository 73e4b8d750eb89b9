"""What the simulated Anthropic takes and refuses, in its own words."""

from typing import Any

import orjson
import pytest

from workers.provider_sim.anthropic.requests import NEW, OLD, read_message
from workers.provider_sim.call import Refused, TextCall
from workers.provider_sim.prompts import prompt_of

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
TOOLS = [{"name": "f", "input_schema": SCHEMA}]
ASK = {"role": "user", "content": "ask"}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "of another model"}


def use(number: int = 1, **fields: object) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"t{number}", "name": "f", "input": {}, **fields}


def result(number: int = 1) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": f"t{number}", "content": "42"}


def user(*blocks: object) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: object) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def text(value: str = "words") -> dict[str, Any]:
    return {"type": "text", "text": value}


def image(**source: str) -> dict[str, Any]:
    return {"type": "image", "source": source}


def read(version: str | None = OLD, model: str = "claude-sonnet-5", **fields: Any) -> TextCall:
    body = {"model": model, "max_tokens": 2000, "messages": [ASK], **fields}
    headers = {} if version is None else {"anthropic-version": version}
    return read_message(model, {name: value for name, value in body.items() if value is not ...}, headers)


def refusal(version: str | None = OLD, model: str = "claude-sonnet-5", **fields: Any) -> str:
    with pytest.raises(Refused) as raised:
        read(version, model, **fields)
    reply = raised.value.reply
    assert reply.status == 400
    envelope = orjson.loads(reply.body)
    assert (envelope["type"], envelope["error"]["type"]) == ("error", "invalid_request_error")
    return str(envelope["error"]["message"])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"version": None}, "anthropic-version: header is required"),
        ({"version": "2020-01-01"}, "is not a valid version"),
        ({"max_tokens": ...}, "max_tokens: Field required"),
        ({"max_tokens": 0}, "max_tokens: must be"),
        ({"max_tokens": True}, "valid integer"),
        ({"n": 2}, "n: Extra inputs are not permitted"),
        ({"stream": True}, "not simulated"),
        ({"metadata": {"user": "x"}}, "metadata.user: Extra inputs"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"stop_sequences": [" \n"]}, "non-whitespace"),
        ({"system": [{"type": "text", "text": " "}]}, "system: text content blocks must contain"),
        ({"temperature": 1}, "temperature: not supported by this model"),
        ({"version": NEW, "model": "claude-sonnet-4-5", "top_p": 1}, "top_p: not supported in version"),
        ({"model": "claude-sonnet-4-5", "temperature": 1.5}, "temperature: range"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1000}}, "greater than or equal to 1024"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "`max_tokens` must be greater"),
        (
            {
                "thinking": {"type": "enabled", "budget_tokens": 1024},
                "tools": TOOLS,
                "tool_choice": {"type": "any"},
            },
            "when tool_choice forces tool use",
        ),
        ({"output_config": {"effort": "minimal"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "json_object"}}}, "JSON schema"),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            "'additionalProperties' must be explicitly set to false",
        ),
        (
            {
                "output_config": {
                    "format": {"type": "json_schema", "schema": {"type": "array", "items": {"maximum": 3}}},
                }
            },
            "'maximum' is not supported",
        ),
    ],
)
def test_a_wrong_parameter_is_refused_in_the_apis_words(fields: dict[str, Any], words: str) -> None:
    assert words in refusal(**fields)


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        (..., "messages: Field required"),
        ([], "at least one message"),
        ([assistant(text())], 'first message must use the "user" role'),
        ([{"role": "system", "content": "s"}, ASK], 'Unexpected role "system"'),
        ([{"role": "tool", "content": "s"}], "messages.0.role"),
        ([{"role": "user", "content": "a", "name": "x"}], "messages.0.name: Extra inputs"),
        ([{"role": "user", "content": ""}], "must have non-empty content"),
        ([user(text(""))], "must be non-empty"),
        ([user(text(" \n"))], "non-whitespace"),
        ([user(use())], "does not match any of the expected tags"),
        ([ASK, assistant(result()), ASK], "does not match any of the expected tags"),
        ([ASK, assistant(text("so far"))], "does not support assistant message prefill"),
        ([ASK, assistant(THOUGHT, text()), ASK], "Invalid `signature`"),
        ([user(image(type="base64", media_type="image/bmp", data=""))], "media_type"),
        (
            [user({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "?"}})],
            "base64 data",
        ),
        ([user(image(type="url", url="file:///x"))], "type base64 or url"),
    ],
)
def test_a_wrong_message_is_refused_in_the_apis_words(messages: Any, words: str) -> None:
    assert words in refusal(messages=messages, tools=TOOLS)


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([ASK, assistant(use()), ASK], "without `tool_result` blocks immediately after: t1"),
        ([ASK, assistant(use()), user(text(), result())], "without `tool_result` blocks immediately after: t1"),
        ([ASK, assistant(use(1), use(2)), user(result(2))], "immediately after: t1"),
        (
            [ASK, assistant(use(1), use(2)), user(result(1)), assistant(text()), user(result(2))],
            "immediately after: t2",
        ),
        ([user(result())], "unexpected `tool_use_id`"),
        ([ASK, assistant(use()), user(result(), result(2))], "unexpected `tool_use_id`"),
        ([ASK, assistant(use()), user(result(), result())], "each tool_use must have a single result"),
        ([ASK, assistant(use(), use()), user(result())], "`tool_use` ids must be unique"),
        ([ASK, assistant(use(), use()), user(result()), assistant(use()), user(result())], "must be unique"),
        ([ASK, assistant(use(id="a.b")), ASK], "'^[a-zA-Z0-9_-]+$'"),
        ([ASK, assistant(use(input="{}")), ASK], "valid dictionary"),
    ],
)
def test_calls_and_results_must_pair(messages: Any, words: str) -> None:
    assert words in refusal(messages=messages, tools=TOOLS)


def test_results_before_text_in_one_or_several_messages_are_taken() -> None:
    whole: Any = [ASK, assistant(text("so"), use(1), use(2)), user(result(2), result(1), text("and now?"))]
    split: Any = [ASK, assistant(use(1)), assistant(use(2)), user(result(1)), user(result(2)), user(text("and now?"))]
    for messages in (whole, split):
        call = read(messages=messages, tools=TOOLS)
        assert call.prompt == "and now?" == prompt_of({"messages": messages})
        assert call.wish is not None
        assert not call.wish.has_results


def test_a_conversation_that_ends_with_results_knows_it() -> None:
    call = read(messages=[ASK, assistant(use()), user(result())], tools=TOOLS)
    assert call.prompt == "ask"
    assert call.wish is not None
    assert call.wish.has_results


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tools": [{"name": "a.b", "input_schema": SCHEMA}]}, "should match pattern"),
        ({"tools": [{"name": "f"}]}, "input_schema: Field required"),
        ({"tools": [{"name": "f", "input_schema": {}}]}, "input_schema.type"),
        ({"tools": [*TOOLS, *TOOLS]}, "must be unique"),
        ({"tools": [{"type": "web_search_20250305", "name": "w"}]}, "not simulated"),
        ({"tools": [{"name": "f", "input_schema": {"type": "object"}, "strict": True}]}, "additionalProperties"),
        ({"tool_choice": {"type": "auto"}}, "only be specified while providing tools"),
        ({"tools": TOOLS, "tool_choice": {"type": "tool", "name": "g"}}, "not found in provided tools"),
        ({"tools": TOOLS, "tool_choice": {"type": "none", "disable_parallel_tool_use": True}}, "Extra inputs"),
        ({"tools": TOOLS, "tool_choice": "auto"}, "Input tag"),
        ({"messages": [ASK, assistant(use()), user(result())]}, "must define tools"),
    ],
)
def test_wrong_tools_are_refused(fields: dict[str, Any], words: str) -> None:
    assert words in refusal(**fields)


def test_older_models_take_what_newer_ones_refuse() -> None:
    old = "claude-opus-4-5-20251101"
    assert read(model=old, temperature=0.5, top_k=3).max_output_tokens == 2000
    assert read(model=old, messages=[ASK, assistant(text("so far"))]).prompt == "ask"
    assert "trailing whitespace" in refusal(model=old, messages=[ASK, assistant(text("so far "))])
    operator = [ASK, {"role": "system", "content": "s"}, assistant(text()), ASK]
    assert read(model="claude-opus-4-8", messages=operator).prompt == "ask"
    assert "directly follow a user" in refusal(
        model="claude-opus-4-8", messages=[ASK, assistant(text()), {"role": "system", "content": "s"}, ASK]
    )


def test_the_newer_version_refuses_documents_of_the_assistant_and_citations_of_the_user() -> None:
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
    cited = text() | {"citations": [{"type": "char_location"}]}
    for messages in ([ASK, assistant(document), ASK], [user(cited)]):
        read(messages=messages)
        refusal(version=NEW, messages=messages)


def test_at_most_four_places_are_marked_for_the_cache() -> None:
    marked = text() | {"cache_control": {"type": "ephemeral"}}
    read(messages=[user(*[marked] * 4)])
    assert "maximum of 4 blocks" in refusal(messages=[user(*[marked] * 5)])
