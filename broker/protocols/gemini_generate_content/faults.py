"""Says whether a success is a complete answer."""

from typing import Any

from broker.protocols.codec import Embedded, Json
from broker.protocols.exact_json import written
from broker.protocols.gemini_generate_content.finish import MALFORMED

_NUMBERS = ({float}, {int}, {float, int})
_ANSWERS = frozenset(
    {"functionCall", "inlineData", "fileData", "executableCode", "codeExecutionResult", "toolCall", "toolResponse"}
)


def fault_of(value: Json, items: int | None) -> str | Embedded | None:
    """Say what keeps an object from being an answer, or give the error that stands in its place; never raises."""
    error = value.get("error")
    if error:
        return Embedded(error=error)
    if "embedding" in value or "embeddings" in value:
        return _embeddings_fault(value, items)
    candidates = value.get("candidates")
    if not isinstance(candidates, list) or not candidates:
        return None if block_reason(value) is not None else "no candidates"
    if items is not None and len(candidates) != items:
        return f"{len(candidates)} candidates where {items} were asked for"
    for candidate in candidates:
        fault = _candidate_fault(candidate)
        if fault is not None:
            return fault
    return _index_fault(candidates)


def block_reason(value: Json) -> str | None:
    """Why the question was not answered at all."""
    feedback = value.get("promptFeedback")
    reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
    return reason if isinstance(reason, str) and reason and not reason.endswith("UNSPECIFIED") else None


def _candidate_fault(candidate: Any) -> str | None:
    if not isinstance(candidate, dict):
        return "a candidate is no object"
    finish = candidate.get("finishReason")
    if not isinstance(finish, str) or not finish or finish.endswith("UNSPECIFIED"):
        return "a candidate has no finish reason"
    if finish in MALFORMED:
        return f"the model broke off with {finish}"
    content = candidate.get("content")
    if content is None:
        content = {}
    return _content_fault(content, finish) if isinstance(content, dict) else "a candidate's content is no object"


def _content_fault(content: dict[str, Any], finish: str) -> str | None:
    parts = content.get("parts")
    if parts is None:
        parts = []
    if not isinstance(parts, list):
        return "a candidate's parts are no array"
    fault = next((fault for part in parts if (fault := _part_fault(part)) is not None), None)
    if fault is None and finish == "STOP" and not any(map(_says_something, parts)):
        return "a candidate has no text and no call"
    return fault


def _says_something(part: dict[str, Any]) -> bool:
    return ("text" in part and part.get("thought") is not True) or not _ANSWERS.isdisjoint(part)


def _part_fault(part: Any) -> str | None:
    if not isinstance(part, dict):
        return "a part is no object"
    if not isinstance(part.get("text", ""), str):
        return "a text is no string"
    return _call_fault(part["functionCall"]) if part.get("functionCall") is not None else None


def _call_fault(call: Any) -> str | None:
    if not isinstance(call, dict) or not isinstance(call.get("name"), str) or not call["name"]:
        return "a call has no name"
    if call.get("willContinue"):
        return "a call is not complete"
    arguments = call.get("args")
    if arguments is not None and not isinstance(arguments, dict):
        return "a call's arguments are no object"
    try:
        written(arguments)
    except ValueError:
        return "a call's arguments cannot be written"
    return None


def _index_fault(candidates: list[dict[str, Any]]) -> str | None:
    """Require the indexes 0 to n-1, in any order; a zero is not written."""
    if len(candidates) == 1:
        return None
    seen = {candidate.get("index", 0) for candidate in candidates if type(candidate.get("index", 0)) is int}
    return None if seen == set(range(len(candidates))) else "indexes do not fit"


def _embeddings_fault(value: Json, items: int | None) -> str | None:
    entries = entries_of(value)
    if not entries:
        return "no embeddings"
    if items is not None and len(entries) != items:
        return f"{len(entries)} embeddings where {items} were asked for"
    sizes = set()
    for entry in entries:
        values = entry.get("values") if isinstance(entry, dict) else None
        if not isinstance(values, list) or set(map(type, values)) not in _NUMBERS:
            return "an embedding is no vector"
        sizes.add(len(values))
    return None if len(sizes) == 1 else "embeddings of different lengths"


def entries_of(value: Json) -> list[Any]:
    """The vectors of an answer, one or several."""
    several = value.get("embeddings")
    if isinstance(several, list):
        return several
    one = value.get("embedding")
    return [] if one is None else [one]
