"""The vendors' own clients, unmodified, against the simulated provider: its answers are what they understand."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import types
from google.genai.models import AsyncModels

from tests.simulators import Caller, with_sim
from workers.provider_sim.answers import expected_arguments, expected_embedding, expected_json, expected_text, json_text
from workers.provider_sim.wishes import USE_A_TOOL

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "label": {"type": "string"},
        "sure": {"type": "boolean"},
        "score": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string", "enum": ["a", "b", "c"]}},
    },
    "required": ["label", "sure", "score", "tags"],
    "additionalProperties": False,
}
TWICE = f"{USE_A_TOOL} twice"
OK = {"output": "ok"}
USAGE = {"cached_share": 0.5, "cache_written_share": 0.25, "reasoning_share": 0.5}


def a_claude(caller: Caller, key: str = "sim") -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(api_key=key, base_url=caller.sim.url, max_retries=0)


@asynccontextmanager
async def a_gemini(caller: Caller, key: str = "sim") -> AsyncIterator[AsyncModels]:
    # Over httpx: its other transport warns that it inherits from a session.
    async with httpx2.AsyncClient() as http:
        options = types.HttpOptions(base_url=caller.sim.url, httpx_async_client=http)
        yield genai.Client(api_key=key, http_options=options).aio.models


def an_openai(caller: Caller, key: str = "sim") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=key, base_url=caller.sim.base_url, max_retries=0)


def test_anthropics_client_understands_text_and_inclusive_usage() -> None:
    async def check(caller: Caller) -> None:
        async with a_claude(caller) as client:
            message = await client.messages.create(
                model="m", max_tokens=100, messages=[{"role": "user", "content": "a question" * 10}]
            )
        (block,) = message.content
        assert block.type == "text"
        assert block.text == expected_text("a question" * 10)
        assert message.stop_reason == "end_turn"
        (row,) = caller.sim.ledger
        usage = message.usage
        read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
        assert row.input_tokens == usage.input_tokens + read + written
        assert (row.cached_tokens, row.output_tokens) == (read, usage.output_tokens)
        assert 0 < written < usage.input_tokens + written
        assert usage.output_tokens_details is not None
        assert usage.output_tokens_details.thinking_tokens == row.reasoning_tokens > 0
        assert (row.path, row.key) == ("/v1/messages", "sim")

    with_sim(check, usage=USAGE)


def test_anthropics_client_understands_schemas_tools_and_refusals() -> None:
    tool: Any = {"name": "label", "input_schema": SCHEMA}

    async def check(caller: Caller) -> None:
        async with a_claude(caller) as client:
            structured = await client.messages.create(
                model="m",
                max_tokens=100,
                messages=[{"role": "user", "content": "hi"}],
                output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
            )
            assert cast("Any", structured.content[0]).text == json_text(expected_json("hi", SCHEMA))
            called = await client.messages.create(
                model="m", max_tokens=100, messages=[{"role": "user", "content": TWICE}], tools=[tool]
            )
            assert called.stop_reason == "tool_use"
            uses = [block for block in called.content if block.type == "tool_use"]
            assert [use.input for use in uses] == [expected_arguments(TWICE, SCHEMA, nth) for nth in range(2)]
            results: Any = [{"type": "tool_result", "tool_use_id": use.id, "content": "ok"} for use in uses]
            history: Any = [
                {"role": "user", "content": TWICE},
                {"role": "assistant", "content": called.content},
                {"role": "user", "content": results},
            ]
            after = await client.messages.create(model="m", max_tokens=100, messages=history, tools=[tool])
            assert cast("Any", after.content[0]).text == expected_text(TWICE)
            refused = await client.messages.create(
                model="m", max_tokens=100, messages=[{"role": "user", "content": "[refuse]"}]
            )
            assert (refused.stop_reason, refused.content) == ("refusal", [])

    with_sim(check)


def test_anthropics_client_raises_its_own_errors() -> None:
    async def check(caller: Caller) -> None:
        hello: Any = [{"role": "user", "content": "hi"}]
        async with a_claude(caller, "nobody") as client:
            with pytest.raises(anthropic.AuthenticationError):
                await client.messages.create(model="m", max_tokens=9, messages=hello)
        async with a_claude(caller) as client:
            listed = [model async for model in client.models.list()]
            assert [(model.id, model.type, model.lifecycle) for model in listed] == [("m", "model", "active")]
            with pytest.raises(anthropic.NotFoundError) as missing:
                await client.messages.create(model="other", max_tokens=9, messages=hello)
            envelope: Any = missing.value.body
            assert envelope["request_id"] == missing.value.request_id == missing.value.response.headers["request-id"]
            with pytest.raises(anthropic.BadRequestError, match="temperature"):
                await client.messages.create(model="m", max_tokens=9, messages=hello, extra_body={"temperature": 1})
            await client.messages.create(model="m", max_tokens=9, messages=hello)
            with pytest.raises(anthropic.RateLimitError) as limited:
                await client.messages.create(model="m", max_tokens=9, messages=hello)
        headers = limited.value.response.headers
        assert headers["retry-after"] == "60"
        assert headers["anthropic-ratelimit-requests-limit"] == "1"
        assert headers["anthropic-ratelimit-requests-remaining"] == "0"

    with_sim(check, models=["m"], keys=[{"name": "sim", "requests_per_minute": 1}])


def test_googles_client_understands_text_and_inclusive_usage() -> None:
    async def check(caller: Caller) -> None:
        async with a_gemini(caller) as client:
            answer = await client.generate_content(model="m", contents="a question")
        assert answer.text == expected_text("a question")
        assert answer.candidates is not None
        assert answer.candidates[0].finish_reason == types.FinishReason.STOP
        (row,) = caller.sim.ledger
        usage = answer.usage_metadata
        assert usage is not None
        assert usage.prompt_token_count == row.input_tokens
        assert usage.cached_content_token_count == row.cached_tokens > 0
        assert usage.thoughts_token_count == row.reasoning_tokens > 0
        assert (usage.candidates_token_count or 0) + row.reasoning_tokens == row.output_tokens
        assert usage.total_token_count == row.input_tokens + row.output_tokens
        assert row.path == "/v1/models/{model}:generateContent"

    with_sim(check, usage=USAGE)


def test_googles_client_understands_schemas_tools_and_refusals() -> None:
    function = types.FunctionDeclaration(name="label", parameters_json_schema=SCHEMA)
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[function])],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )

    async def check(caller: Caller) -> None:
        async with a_gemini(caller) as client:
            structured = await client.generate_content(
                model="m",
                contents="hi",
                config={"response_mime_type": "application/json", "response_json_schema": SCHEMA},
            )
            assert structured.text == json_text(expected_json("hi", SCHEMA))
            called = await client.generate_content(model="gemini-3-pro", contents=TWICE, config=config)
            calls = called.function_calls or []
            assert [call.args for call in calls] == [expected_arguments(TWICE, SCHEMA, nth) for nth in range(2)]
            assert called.candidates is not None
            said = called.candidates[0].content
            assert said is not None
            results = [
                types.Part(
                    function_response=types.FunctionResponse(id=call.id, name=call.name, response={"output": "ok"})
                )
                for call in calls
            ]
            user = types.Content(role="user", parts=[types.Part(text=TWICE)])
            history = [user, said, types.Content(role="user", parts=results)]
            after = await client.generate_content(model="gemini-3-pro", contents=cast("Any", history), config=config)
            assert after.text == expected_text(TWICE)
            blocked = await client.generate_content(model="m", contents="[block]")
            assert blocked.candidates is None
            assert blocked.prompt_feedback is not None
            assert blocked.prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT

    with_sim(check)


def test_googles_client_understands_embeddings_models_and_errors() -> None:
    async def check(caller: Caller) -> None:
        async with a_gemini(caller) as client:
            vectors = await client.embed_content(model="e", contents="a text")
            assert vectors.embeddings is not None
            assert vectors.embeddings[0].values == expected_embedding("a text", 8)
            assert [model.name async for model in await client.list()] == ["models/m", "models/e"]
            with pytest.raises(genai.errors.ClientError) as missing:
                await client.generate_content(model="other", contents="hi")
            assert (missing.value.code, missing.value.status) == (404, "NOT_FOUND")
        async with a_gemini(caller, "nobody") as stranger:
            with pytest.raises(genai.errors.ClientError) as bad:
                await stranger.generate_content(model="m", contents="hi")
        assert (bad.value.code, bad.value.status) == (400, "INVALID_ARGUMENT")

    with_sim(check, models=["m", "e"])


def test_openais_client_understands_responses() -> None:
    tool: Any = {"type": "function", "name": "label", "parameters": SCHEMA, "strict": True}
    text: Any = {"format": {"type": "json_schema", "name": "label", "schema": SCHEMA, "strict": True}}

    async def check(caller: Caller) -> None:
        async with an_openai(caller) as client:
            plain = await client.responses.create(model="m", input="hi", instructions="Be short.")
            assert plain.output_text == expected_text("hi")
            (row,) = caller.sim.ledger
            usage = plain.usage
            assert usage is not None
            assert (usage.input_tokens, usage.output_tokens) == (row.input_tokens, row.output_tokens)
            assert usage.input_tokens_details.cached_tokens == row.cached_tokens
            assert usage.output_tokens_details.reasoning_tokens == row.reasoning_tokens
            structured = await client.responses.create(model="m", input="hi", text=text)
            assert structured.output_text == json_text(expected_json("hi", SCHEMA))
            called = await client.responses.create(model="m", input=TWICE, tools=[tool], tool_choice="required")
            calls = [item for item in called.output if item.type == "function_call"]
            wanted = [expected_arguments(TWICE, SCHEMA, nth) for nth in range(2)]
            assert [json.loads(call.arguments) for call in calls] == wanted
            results: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "ok"} for call in calls]
            history: Any = [{"role": "user", "content": TWICE}, *called.output, *results]
            after = await client.responses.create(model="m", input=history, tools=[tool])
            assert after.output_text == expected_text(TWICE)
            cut = await client.responses.create(model="m", input="hi", max_output_tokens=16)
            assert cut.status == "incomplete"
            assert cut.incomplete_details is not None
            assert cut.incomplete_details.reason == "max_output_tokens"

    with_sim(check, usage=USAGE, output={"mean_tokens": 40})


def test_openais_client_understands_schemas_tools_and_refusals_of_chats() -> None:
    tool: Any = {"type": "function", "function": {"name": "label", "parameters": SCHEMA, "strict": True}}
    form: Any = {"type": "json_schema", "json_schema": {"name": "label", "schema": SCHEMA, "strict": True}}

    async def check(caller: Caller) -> None:
        async with an_openai(caller) as client:
            chats = client.chat.completions
            structured = await chats.create(
                model="m", messages=[{"role": "user", "content": "hi"}], response_format=form
            )
            assert structured.choices[0].message.content == json_text(expected_json("hi", SCHEMA))
            history: Any = [{"role": "user", "content": TWICE}]
            called = await chats.create(model="m", messages=history, tools=[tool], tool_choice="required")
            choice = called.choices[0]
            assert choice.finish_reason == "tool_calls"
            calls: Any = choice.message.tool_calls
            wanted = [expected_arguments(TWICE, SCHEMA, nth) for nth in range(2)]
            assert [json.loads(call.function.arguments) for call in calls] == wanted
            history.append(choice.message)
            history += [{"role": "tool", "tool_call_id": call.id, "content": "ok"} for call in calls]
            after = await chats.create(model="m", messages=history, tools=[tool])
            assert after.choices[0].message.content == expected_text(TWICE)
            refused = await chats.create(model="m", messages=[{"role": "user", "content": "[refuse]"}])
            assert refused.choices[0].message.content is None
            assert refused.choices[0].message.refusal

    with_sim(check)
