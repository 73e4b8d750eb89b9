"""Success responses of the OpenAI protocol: a body is an answer only when it is complete and well formed.

A success status proves nothing: proxies send pages, connections are cut, and errors come inside a 200.
"""

import binascii
from collections.abc import Mapping
from dataclasses import dataclass, replace

from broker.domain.attempt import CallError, ErrorClass, Scope
from broker.domain.job import Endpoint
from broker.domain.usage import Usage
from broker.protocols.canonical.answer import Answer
from broker.protocols.exact_json import parsed
from broker.protocols.openai_errors import embedded_error
from broker.protocols.openai_usage import chat_usage, embeddings_usage
from broker.redaction import excerpt

# Ends that leave nothing to say: the whole answer may have been filtered, or spent on reasoning.
_EMPTY_ENDS = frozenset({"content_filter", "length"})
_NUMBERS = ({float}, {int}, {float, int})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Embedded:
    """An error that stands in place of an answer."""

    error: object


def items_asked_for(endpoint: Endpoint, request: Mapping[str, object]) -> int | None:
    """How many choices or vectors a request asks for; `None` when it does not say so in a way we know."""
    if endpoint.generates:
        choices = request.get("n")
        return choices if type(choices) is int else 1 if choices is None else None
    texts = request.get("input")
    if isinstance(texts, str):
        return 1
    if not isinstance(texts, list) or not texts:
        return None
    return 1 if type(texts[0]) is int else len(texts)  # a list of token ids is one text


def understand(
    endpoint: Endpoint,
    body: bytes,
    *,
    headers: Mapping[str, str],
    status: int = 200,
    items: int | None = None,
    details_default_zero: bool = False,
    now: float = 0.0,
) -> Answer | CallError:
    """Read the body of a success response.

    `items`: how many choices or vectors were asked for, if known. `headers` and `now` (epoch seconds) serve the
    retry hint of an error inside a success. Anything but a complete answer is `MALFORMED_ANSWER`, or what the
    error inside the body says.
    """
    try:
        value = parsed(body)
    except ValueError:
        return _malformed(status, "no JSON" if body.strip() else "an empty body", body)
    if not isinstance(value, dict):
        return _malformed(status, "JSON, but no object", body)
    usage = _usage(endpoint, value.get("usage"), details_default_zero=details_default_zero)
    fault = _fault(endpoint, value, items)
    if fault is None:
        model = value.get("model")
        # What cannot be printed (half a surrogate pair, say) names no model, and no database takes it
        return Answer(model=model if isinstance(model, str) and model.isprintable() else None, usage=usage)
    if isinstance(fault, str):
        return replace(_malformed(status, fault, body), usage=usage)
    return replace(embedded_error(status, headers, fault.error, now=now), usage=usage)


def _usage(endpoint: Endpoint, reported: object, *, details_default_zero: bool) -> Usage:
    if endpoint.generates:
        return chat_usage(reported, details_default_zero=details_default_zero)
    return embeddings_usage(reported)


def _fault(endpoint: Endpoint, value: Mapping[str, object], items: int | None) -> str | _Embedded | None:
    """Say what keeps this object from being an answer, or give the error that stands in place of one."""
    error = value.get("error")
    if error or value.get("object") == "error":
        return _Embedded(error=error or value)
    if not endpoint.generates:
        return _embeddings_fault(value.get("data"), items)
    fault = _chat_fault(value.get("choices"), items)
    return _Embedded(error=fault) if isinstance(fault, dict) else fault


def _malformed(status: int, fault: str, body: bytes) -> CallError:
    return CallError(
        error_class=ErrorClass.MALFORMED_ANSWER,
        scope=Scope.SAME,
        message=excerpt(f"{fault}: {body[:600].decode(errors='replace')}", 300),
        status=status,
    )


def _chat_fault(choices: object, items: int | None) -> str | dict[str, object] | None:
    """Say what keeps these choices from being an answer, or give the error that stands in place of one."""
    if not isinstance(choices, list) or not choices:
        return "no choices"
    if items is not None and len(choices) != items:
        return f"{len(choices)} choices where {items} were asked for"
    for choice in choices:
        fault = _choice_fault(choice)
        if fault is not None:
            return fault
    return _index_fault(choices)


def _choice_fault(choice: object) -> str | dict[str, object] | None:
    if not isinstance(choice, dict):
        return "a choice is no object"
    error = choice.get("error")
    if error and isinstance(error, dict):
        return error
    finish = choice.get("finish_reason")
    if not isinstance(finish, str) or not finish:
        return "a choice has no finish reason"
    if finish == "error":
        return {"message": "the choice ended with an error", "code": "server_error"}
    return None if _is_message(choice.get("message"), finish) else "a choice has no complete message"


def _is_message(message: object, finish: str) -> bool:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        return False
    calls = message.get("tool_calls")
    if calls and not (isinstance(calls, list) and all(map(_is_call, calls))):
        return False
    content = message.get("content")
    if isinstance(content, str):
        return True
    if content is not None:  # parts: some providers separate thinking from text
        return isinstance(content, list) and bool(content) and all(isinstance(part, dict) for part in content)
    return bool(
        calls
        or finish in _EMPTY_ENDS
        or isinstance(message.get("refusal"), str)
        or isinstance(message.get("function_call"), dict)
        or isinstance(message.get("audio"), dict)
        or message.get("reasoning_content")
        or message.get("reasoning")
    )


def _is_call(call: object) -> bool:
    if not isinstance(call, dict):
        return False
    wanted = call.get("function", call.get("custom"))
    return isinstance(wanted, dict) and isinstance(wanted.get("name"), str)


def _index_fault(entries: list[dict[str, object]]) -> str | None:
    """Require the indexes 0 to n-1, in any order."""
    if len(entries) == 1:
        return None if entries[0].get("index", 0) == 0 else "the only entry has not index 0"
    seen = {index for entry in entries if type(index := entry.get("index")) is int}
    return None if seen == set(range(len(entries))) else "indexes do not fit"


def _embeddings_fault(data: object, items: int | None) -> str | None:
    if not isinstance(data, list) or not data:
        return "no embeddings"
    if items is not None and len(data) != items:
        return f"{len(data)} embeddings where {items} were asked for"
    sizes = set()
    for entry in data:
        size = _dimensions(entry.get("embedding")) if isinstance(entry, dict) else 0
        if not size:
            return "an embedding is no vector"
        sizes.add(size)
    return _index_fault(data) if len(sizes) == 1 else "embeddings of different lengths"


def _dimensions(vector: object) -> int:
    """Count the dimensions of a list of numbers, or of base64 of little-endian float32; 0 is no vector."""
    if isinstance(vector, list):
        return len(vector) if set(map(type, vector)) in _NUMBERS else 0
    if not isinstance(vector, str):
        return 0
    try:
        count, rest = divmod(len(binascii.a2b_base64(vector, strict_mode=True)), 4)
    except (binascii.Error, ValueError):
        return 0
    return 0 if rest else count
