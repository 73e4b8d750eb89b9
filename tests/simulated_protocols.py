"""How a test speaks each protocol of the simulated provider, and reads what it answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.simulators import Body, Caller, Got

SCHEMA: Body = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "score": {"type": "integer"}},
    "required": ["label", "score"],
    "additionalProperties": False,
}
TEXT, CALLS = "text", "calls"


@dataclass(frozen=True, kw_only=True)
class Tongue:
    """How a test speaks one protocol."""

    path: str
    label: str
    """The path in the ledger."""
    ask: Callable[[str], Body]
    says: Callable[[Body], tuple[str, object]]
    """What an answer says: its text or the arguments of its calls."""
    usage: Callable[[Body], tuple[int, int, int, int] | None]
    """Input, cached, output and reasoning, inclusive."""
    schema: Body
    """What a request adds to ask for `SCHEMA`."""
    tool: Body
    """What a request adds to force the tool `f`."""
    headers: Mapping[str, str] = field(default_factory=dict)
    bad_key: tuple[int, str] = (401, "")
    spent: tuple[int, str] = (429, "")
    statuses: Mapping[str, int] = field(default_factory=dict)

    async def post(self, caller: Caller, prompt: str = "ask", key: str = "sim", **more: Any) -> Got:
        return await caller.post(self.ask(prompt) | more, key=key, path=self.path, headers=self.headers)


def chat_says(body: Body) -> tuple[str, object]:
    message = body["choices"][0]["message"]
    if message.get("tool_calls"):
        return CALLS, [orjson.loads(call["function"]["arguments"]) for call in message["tool_calls"]]
    return TEXT, message["content"]


def chat_usage(body: Body) -> tuple[int, int, int, int] | None:
    if "usage" not in body:
        return None
    usage = body["usage"]
    cached, reasoning = usage["prompt_tokens_details"], usage["completion_tokens_details"]
    return (
        usage["prompt_tokens"],
        cached["cached_tokens"],
        usage["completion_tokens"],
        reasoning["reasoning_tokens"],
    )


def response_says(body: Body) -> tuple[str, object]:
    calls = [orjson.loads(item["arguments"]) for item in body["output"] if item["type"] == "function_call"]
    if calls:
        return CALLS, calls
    return TEXT, body["output"][-1]["content"][0]["text"]


def response_usage(body: Body) -> tuple[int, int, int, int] | None:
    usage = body["usage"]
    if usage is None:
        return None
    cached, reasoning = usage["input_tokens_details"], usage["output_tokens_details"]
    return usage["input_tokens"], cached["cached_tokens"], usage["output_tokens"], reasoning["reasoning_tokens"]


def message_says(body: Body) -> tuple[str, object]:
    calls = [block["input"] for block in body["content"] if block["type"] == "tool_use"]
    return (CALLS, calls) if calls else (TEXT, body["content"][-1]["text"])


def message_usage(body: Body) -> tuple[int, int, int, int] | None:
    if "usage" not in body:
        return None
    usage = body["usage"]
    read, written = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
    reasoning = usage["output_tokens_details"]["thinking_tokens"]
    return usage["input_tokens"] + read + written, read, usage["output_tokens"], reasoning


def content_says(body: Body) -> tuple[str, object]:
    parts = body["candidates"][0]["content"]["parts"]
    calls = [part["functionCall"]["args"] for part in parts if "functionCall" in part]
    return (CALLS, calls) if calls else (TEXT, parts[-1]["text"])


def content_usage(body: Body) -> tuple[int, int, int, int] | None:
    if "usageMetadata" not in body:
        return None
    usage = body["usageMetadata"]
    thoughts = usage.get("thoughtsTokenCount", 0)
    answered = usage.get("candidatesTokenCount", 0) + thoughts
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + answered
    return usage["promptTokenCount"], usage.get("cachedContentTokenCount", 0), answered, thoughts


def messages(prompt: str) -> list[Body]:
    return [{"role": "user", "content": prompt}]


OPENAI_STATUSES = {"server_error": 500, "overloaded": 503, "site_overloaded": 529}
FORMAT = {"type": "json_schema", "name": "x", "schema": SCHEMA}
CHAT = Tongue(
    path="/v1/chat/completions",
    label="/v1/chat/completions",
    ask=lambda prompt: {"model": "m", "messages": messages(prompt)},
    says=chat_says,
    usage=chat_usage,
    schema={"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}},
    tool={"tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}], "tool_choice": "required"},
    bad_key=(401, "invalid_api_key"),
    spent=(429, "insufficient_quota"),
    statuses=OPENAI_STATUSES,
)
RESPONSES = Tongue(
    path="/v1/responses",
    label="/v1/responses",
    ask=lambda prompt: {"model": "m", "input": prompt},
    says=response_says,
    usage=response_usage,
    schema={"text": {"format": FORMAT}},
    tool={"tools": [{"type": "function", "name": "f", "parameters": SCHEMA}], "tool_choice": "required"},
    bad_key=(401, "invalid_api_key"),
    spent=(429, "insufficient_quota"),
    statuses=OPENAI_STATUSES,
)
ANTHROPIC = Tongue(
    path="/v1/messages",
    label="/v1/messages",
    headers={"anthropic-version": "2023-06-01"},
    ask=lambda prompt: {"model": "m", "max_tokens": 1000, "messages": messages(prompt)},
    says=message_says,
    usage=message_usage,
    schema={"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    tool={"tools": [{"name": "f", "input_schema": SCHEMA}], "tool_choice": {"type": "any"}},
    bad_key=(401, "authentication_error"),
    spent=(429, "enforced_spend_limit_reached"),
    statuses={"server_error": 500, "overloaded": 529, "site_overloaded": 529},
)
GEMINI = Tongue(
    path="/v1beta/models/m:generateContent",
    label="/v1beta/models/{model}:generateContent",
    ask=lambda prompt: {"contents": [{"role": "user", "parts": [{"text": prompt}]}]},
    says=content_says,
    usage=content_usage,
    schema={"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}},
    tool={
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": SCHEMA}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
    },
    bad_key=(400, "API_KEY_INVALID"),
    spent=(429, "PerDay"),
    statuses={"server_error": 500, "overloaded": 503, "site_overloaded": 503},
)
TONGUES = [CHAT, RESPONSES, ANTHROPIC, GEMINI]


def wait_of(got: Got) -> float:
    """What a client is told to wait, in seconds, wherever it stands."""
    for detail in got.error.get("details", []):
        if detail["@type"].endswith("RetryInfo"):
            return float(detail["retryDelay"].removesuffix("s"))
    return float(got.headers.get("retry-after-ms", 0)) / 1000 or float(got.headers["retry-after"])


def reason_of(body: Body) -> str:
    """Why an answer ended, wherever it stands."""
    if "choices" in body:
        return str(body["choices"][0]["finish_reason"])
    if "stop_reason" in body:
        return str(body["stop_reason"])
    if "output" in body:
        return str((body["incomplete_details"] or {}).get("reason") or body["status"])
    if "promptFeedback" in body:
        return str(body["promptFeedback"]["blockReason"])
    return str(body["candidates"][0]["finishReason"])
