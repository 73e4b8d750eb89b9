"""Writes messages in their real shapes."""

import orjson
from pydantic import JsonValue

from workers.provider_sim.anthropic.blocks import SIGNATURE
from workers.provider_sim.anthropic.errors import server_error
from workers.provider_sim.call import TextCall
from workers.provider_sim.generation import Generated, Stop
from workers.provider_sim.vendor import Issue

_REASONS = {
    Stop.DONE: "end_turn",
    Stop.SEQUENCE: "stop_sequence",
    Stop.MAXIMUM: "max_tokens",
    Stop.CALLS: "tool_use",
    Stop.REFUSED: "refusal",
    Stop.BLOCKED: "refusal",
}


def message(call: TextCall, generated: Generated, issue: Issue) -> bytes:
    """Return a `message`."""
    body: dict[str, JsonValue] = {
        "id": f"msg_{issue.number:024x}",
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": _content(call, generated, issue),
        "stop_reason": _REASONS[generated.stop],
        "stop_sequence": generated.sequence if generated.stop is Stop.SEQUENCE else None,
    }
    if generated.stop in {Stop.REFUSED, Stop.BLOCKED}:
        category = "general_harms" if generated.stop is Stop.BLOCKED else None
        body["stop_details"] = {"type": "refusal", "category": category, "explanation": None}
    if issue.says_usage:
        body["usage"] = _usage(generated)
    return orjson.dumps(body)


def failed(model: str, issue: Issue) -> bytes:  # noqa: ARG001 - the body says nothing of the model
    """Return an error that comes with status 200."""
    return orjson.dumps(orjson.loads(server_error().body) | {"request_id": issue.request_id})


def _content(call: TextCall, generated: Generated, issue: Issue) -> list[JsonValue]:
    blocks: list[JsonValue] = []
    if call.wish is not None and call.wish.shows_reasoning and generated.reasoning_tokens:
        blocks.append({"type": "thinking", "thinking": "Let me think.", "signature": SIGNATURE})
    if generated.text:
        blocks.append({"type": "text", "text": generated.text})
    blocks += [
        {
            "type": "tool_use",
            "id": f"toolu_{issue.number:020x}{nth:04x}",
            "name": made.name,
            "input": made.arguments,
        }
        for nth, made in enumerate(generated.calls)
    ]
    return blocks


def _usage(generated: Generated) -> JsonValue:
    """Return the usage: what a cache read or wrote is beside the input here, and not part of it."""
    read, written = generated.cached_tokens, generated.cache_written_tokens
    return {
        "input_tokens": generated.input_tokens - read - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
        "output_tokens": generated.output_tokens,
        "output_tokens_details": {"thinking_tokens": generated.reasoning_tokens},
        "service_tier": "standard",
    }
