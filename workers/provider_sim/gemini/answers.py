"""Writes content in its real shapes."""

import orjson
from pydantic import JsonValue

from workers.provider_sim.call import TextCall
from workers.provider_sim.gemini.errors import server_error
from workers.provider_sim.generation import Generated, Stop
from workers.provider_sim.vendor import Issue

SIGNATURE = "c2ltdWxhdGVkLXRob3VnaHQ="
"""What comes with the first call of an answer, and has to come back with it."""
_FINISH = {
    Stop.DONE: "STOP",
    Stop.SEQUENCE: "STOP",
    Stop.CALLS: "STOP",
    Stop.MAXIMUM: "MAX_TOKENS",
    Stop.REFUSED: "SAFETY",
}


def content(call: TextCall, generated: Generated, issue: Issue) -> bytes:
    """Return the candidates, or why there are none."""
    body: dict[str, JsonValue] = {}
    if generated.stop is Stop.BLOCKED:
        body["promptFeedback"] = {"blockReason": "PROHIBITED_CONTENT"}
    else:
        body["candidates"] = [_candidate(call, generated, issue, index) for index in range(call.choices)]
    if issue.says_usage:
        body["usageMetadata"] = _usage(generated)
    return orjson.dumps(body | {"modelVersion": call.model, "responseId": issue.request_id})


def failed(model: str, issue: Issue) -> bytes:  # noqa: ARG001 - the body says nothing of the request
    """Return an error that comes with status 200."""
    return server_error().body


def _candidate(call: TextCall, generated: Generated, issue: Issue, index: int) -> JsonValue:
    candidate: dict[str, JsonValue] = {"finishReason": _FINISH[generated.stop]}
    if any(made.is_broken for made in generated.calls):
        candidate = {"finishReason": "MALFORMED_FUNCTION_CALL", "finishMessage": "Malformed function call"}
    elif parts := _parts(call, generated, issue, index):
        candidate["content"] = {"parts": parts, "role": "model"}
    # As everywhere, a zero is not sent.
    return candidate | ({"index": index} if index else {})


def _parts(call: TextCall, generated: Generated, issue: Issue, index: int) -> list[JsonValue]:
    parts: list[JsonValue] = []
    if call.wish is not None and call.wish.shows_reasoning and generated.reasoning_tokens:
        parts.append({"text": "Let me think.", "thought": True})
    if generated.text:
        parts.append({"text": generated.text})
    for nth, made in enumerate(generated.calls):
        part: dict[str, JsonValue] = {
            "functionCall": {"name": made.name, "args": made.arguments, "id": f"{issue.number:06x}{index:02x}{nth:02x}"}
        }
        if nth == 0:
            part["thoughtSignature"] = SIGNATURE
        parts.append(part)
    return parts


def _usage(generated: Generated) -> JsonValue:
    """Return the usage: thoughts are beside the candidates here, and a count of zero is not sent."""
    counts = {
        "promptTokenCount": generated.input_tokens,
        "candidatesTokenCount": generated.output_tokens - generated.reasoning_tokens,
        "totalTokenCount": generated.input_tokens + generated.output_tokens,
        "cachedContentTokenCount": generated.cached_tokens,
        "thoughtsTokenCount": generated.reasoning_tokens,
    }
    usage: dict[str, JsonValue] = {name: count for name, count in counts.items() if count}
    usage["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": generated.input_tokens}]
    return usage
