"""Writes chat completions in their real shapes."""

import orjson
from pydantic import JsonValue

from workers.provider_sim.call import TextCall
from workers.provider_sim.generation import Generated, Stop
from workers.provider_sim.openai.errors import SERVER_ERROR, error
from workers.provider_sim.vendor import Issue

REFUSAL = "I'm sorry, I can't help with that."
_FINISH = {
    Stop.DONE: "stop",
    Stop.SEQUENCE: "stop",
    Stop.REFUSED: "stop",
    Stop.MAXIMUM: "length",
    Stop.CALLS: "tool_calls",
    Stop.BLOCKED: "content_filter",
}


def chat_completion(call: TextCall, generated: Generated, issue: Issue) -> bytes:
    """Return a `chat.completion`."""
    finish = _FINISH[generated.stop]
    if generated.stop is Stop.CALLS and call.wish is not None and call.wish.choice.names:
        # A tool that was named is no decision of the model, and so not told as one.
        finish = "stop" if call.wish.choice.mode == "required" else finish
    body: dict[str, JsonValue] = {
        "id": f"chatcmpl-{issue.number:029x}",
        "object": "chat.completion",
        "created": issue.created,
        "model": call.model,
        "choices": [
            {"index": index, "message": _message(generated, issue, index), "logprobs": None, "finish_reason": finish}
            for index in range(call.choices)
        ],
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }
    if issue.says_usage:
        body["usage"] = _usage(generated)
    return orjson.dumps(body)


def failed(model: str, issue: Issue) -> bytes:  # noqa: ARG001 - the body says nothing of the request
    """Return an error that comes with status 200."""
    return error(500, SERVER_ERROR, kind="server_error").body


def _message(generated: Generated, issue: Issue, index: int) -> JsonValue:
    content = generated.text or None
    refusal = REFUSAL if generated.stop is Stop.REFUSED else None
    if not generated.calls:
        return {"role": "assistant", "content": content, "refusal": refusal, "annotations": []}
    calls: list[JsonValue] = [
        {
            "id": f"call_{issue.number:020x}{index:02x}{nth:02x}",
            "type": "function",
            "function": {"name": made.name, "arguments": made.text},
        }
        for nth, made in enumerate(generated.calls)
    ]
    return {"role": "assistant", "content": content, "refusal": refusal, "tool_calls": calls, "annotations": []}


def _usage(generated: Generated) -> JsonValue:
    details: dict[str, JsonValue] = {"cached_tokens": generated.cached_tokens, "audio_tokens": 0}
    if generated.cache_written_tokens:
        details["cache_write_tokens"] = generated.cache_written_tokens
    return {
        "prompt_tokens": generated.input_tokens,
        "completion_tokens": generated.output_tokens,
        "total_tokens": generated.input_tokens + generated.output_tokens,
        "prompt_tokens_details": details,
        "completion_tokens_details": {
            "reasoning_tokens": generated.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
