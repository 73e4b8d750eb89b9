"""Writes responses in their real shapes."""

import orjson
from pydantic import JsonValue

from workers.provider_sim.call import TextCall
from workers.provider_sim.generation import Generated, Stop
from workers.provider_sim.openai.chat_answers import REFUSAL
from workers.provider_sim.openai.errors import SERVER_ERROR
from workers.provider_sim.vendor import Issue

_INCOMPLETE = {Stop.MAXIMUM: "max_output_tokens", Stop.BLOCKED: "content_filter"}


def response(call: TextCall, generated: Generated, issue: Issue) -> bytes:
    """Return a `response` that is completed or incomplete."""
    reason = _INCOMPLETE.get(generated.stop)
    body = _frame(call.model, issue) | {
        "status": "completed" if reason is None else "incomplete",
        "incomplete_details": None if reason is None else {"reason": reason},
        "max_output_tokens": call.max_output_tokens,
        "output": _output(call, generated, issue, "completed" if reason is None else "incomplete"),
    }
    if issue.says_usage:
        body["usage"] = {
            "input_tokens": generated.input_tokens,
            "input_tokens_details": {
                "cached_tokens": generated.cached_tokens,
                "cache_write_tokens": generated.cache_written_tokens,
            },
            "output_tokens": generated.output_tokens,
            "output_tokens_details": {"reasoning_tokens": generated.reasoning_tokens},
            "total_tokens": generated.input_tokens + generated.output_tokens,
        }
    return orjson.dumps(body)


def failed(model: str, issue: Issue) -> bytes:
    """Return a `response` that failed, which comes with status 200."""
    error: JsonValue = {"code": "server_error", "message": SERVER_ERROR}
    return orjson.dumps(_frame(model, issue) | {"status": "failed", "error": error})


def _frame(model: str, issue: Issue) -> dict[str, JsonValue]:
    return {
        "id": f"resp_{issue.number:048x}",
        "object": "response",
        "created_at": issue.created,
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "metadata": {},
    }


def _output(call: TextCall, generated: Generated, issue: Issue, status: str) -> list[JsonValue]:
    items: list[JsonValue] = []
    if call.wish is not None and call.wish.shows_reasoning and generated.reasoning_tokens:
        items.append({"id": f"rs_{issue.number:048x}", "type": "reasoning", "summary": []})
    items += [
        {
            "id": f"fc_{issue.number:044x}{nth:04x}",
            "type": "function_call",
            "status": status,
            "call_id": f"call_{issue.number:020x}{nth:04x}",
            "name": made.name,
            "arguments": made.text,
        }
        for nth, made in enumerate(generated.calls)
    ]
    part: JsonValue = None
    if generated.stop is Stop.REFUSED:
        part = {"type": "refusal", "refusal": REFUSAL}
    elif generated.text:
        part = {"type": "output_text", "text": generated.text, "annotations": [], "logprobs": []}
    if part is not None:
        message_id = f"msg_{issue.number:048x}"
        items.append(
            {"id": message_id, "type": "message", "status": status, "role": "assistant", "content": [part]},
        )
    return items
