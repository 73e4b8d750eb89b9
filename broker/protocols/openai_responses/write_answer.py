"""Writes responses. Source: OpenAI API reference, "The response object"."""

from hashlib import blake2b

from broker.protocols.canonical.answer import Answer, Finish, Output
from broker.protocols.canonical.parts import CallPart, ReasoningPart, RefusalPart, TextPart
from broker.protocols.codec import Json
from broker.protocols.openai_responses.echo import echoed
from broker.protocols.openai_responses.usage import write_usage
from broker.protocols.tool_arguments import arguments_text

_PREFIX = "resp_"
_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"})
_INCOMPLETE = {
    Finish.LENGTH: "max_output_tokens",
    Finish.CONTEXT_WINDOW: "max_output_tokens",
    Finish.CONTENT_FILTER: "content_filter",
    Finish.PAUSE: None,  # this dialect has no word for it, but it is not complete
}


def write_answer(answer: Answer, request: Json | None) -> dict[str, object]:
    """Write a response, with the settings of the request that asked for it."""
    asked = {} if request is None else request
    ending = next((output.finish for output in answer.outputs if output.finish in _INCOMPLETE), None)
    created = answer.created or 0
    response_id = _response_id(answer)
    output: list[dict[str, object]] = []
    for given in answer.outputs:
        _Items(output, response_id.removeprefix(_PREFIX)).write(given)
    model = asked.get("model") if answer.model is None else answer.model
    written: dict[str, object] = {
        "id": response_id,
        "object": "response",
        "created_at": created,
        "completed_at": created if ending is None else None,
        "status": "completed" if ending is None else "incomplete",
        "error": None,
        "incomplete_details": None if ending is None else {"reason": _INCOMPLETE[ending]},
        "model": model if isinstance(model, str) else "",
        "output": output,
        "usage": write_usage(answer.usage),
    }
    written.update(echoed(asked))
    if answer.service_tier in _TIERS:
        written["service_tier"] = answer.service_tier
    return written


def _response_id(answer: Answer) -> str:
    """The provider's id, in this dialect's form; without one, one that is made of what the answer says."""
    if answer.id is not None:
        return answer.id if answer.id.startswith(_PREFIX) else _PREFIX + answer.id
    said = repr((answer.model, answer.outputs)).encode("utf-8", "surrogatepass")
    return _PREFIX + blake2b(said, digest_size=24).hexdigest()


class _Items:
    """Writes an output as items; their ids tell where they stand in which response."""

    __slots__ = ("_content", "_items", "_stem")

    def __init__(self, items: list[dict[str, object]], stem: str) -> None:
        self._items = items
        self._stem = stem
        self._content: list[dict[str, object]] | None = None
        """Of the message that is being written: texts and refusals in a row are one."""

    def write(self, output: Output) -> None:
        declined = output.finish is Finish.REFUSAL and not any(type(part) is RefusalPart for part in output.parts)
        logprobs = _logprobs(output.logprobs)
        for part in output.parts:
            match part:
                case TextPart(text=text) if not declined:
                    self._say({"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs})
                    logprobs = []
                case TextPart(text=text) | RefusalPart(text=text):  # what it said was that it declines
                    self._say({"type": "refusal", "refusal": text})
                case ReasoningPart(text=text):
                    summary = [{"type": "summary_text", "text": text}] if text else []
                    self._add("rs", {"type": "reasoning", "summary": summary})
                case CallPart():
                    self._call(part, cut=output.finish in _INCOMPLETE)
                case _:
                    continue
        if not any(item["type"] != "reasoning" for item in self._items) and output.finish not in _INCOMPLETE:
            empty = {"type": "refusal", "refusal": ""} if declined else _EMPTY_TEXT
            self._say(dict(empty))
        if output.finish in _INCOMPLETE and self._content is not None:
            self._items[-1]["status"] = "incomplete"

    def _say(self, part: dict[str, object]) -> None:
        if self._content is None:
            content: list[dict[str, object]] = []
            self._add("msg", {"type": "message", "role": "assistant", "status": "completed", "content": content})
            self._content = content
        self._content.append(part)

    def _call(self, part: CallPart, *, cut: bool) -> None:
        if part.custom:
            custom = {"type": "custom_tool_call", "call_id": part.id, "name": part.name}
            self._add("ctc", {**custom, "input": part.arguments_text})
            return
        status = "incomplete" if cut and part.arguments is None else "completed"
        asked = {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": arguments_text(part)}
        self._add("fc", {**asked, "status": status})

    def _add(self, prefix: str, item: dict[str, object]) -> None:
        self._content = None
        self._items.append({"id": f"{prefix}_{self._stem}_{len(self._items)}", **item})


_EMPTY_TEXT: dict[str, object] = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}


def _logprobs(given: object) -> list[object]:
    """Log probabilities of a chat in this dialect's form, which wants bytes and alternatives in each."""
    content = given.get("content") if isinstance(given, dict) else None
    if not isinstance(content, list):
        return []
    return [_logprob(token, alternatives=True) for token in content if isinstance(token, dict)]


def _logprob(token: dict[str, object], *, alternatives: bool) -> dict[str, object]:
    written: dict[str, object] = {
        "token": token.get("token"),
        "logprob": token.get("logprob"),
        "bytes": token.get("bytes") or [],
    }
    if alternatives:
        others = token.get("top_logprobs")
        others = others if isinstance(others, list) else []
        written["top_logprobs"] = [_logprob(other, alternatives=False) for other in others if isinstance(other, dict)]
    return written
