"""Reads the messages of a chat: speakers, parts, calls and results."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from broker.domain.loss import LossClass
from broker.protocols.canonical.parts import (
    CallPart,
    MediaPart,
    Part,
    ReasoningPart,
    RefusalPart,
    ResultPart,
    TextPart,
)
from broker.protocols.canonical.request import Role, Turn, Unmapped
from broker.protocols.fields import Object, an_object, array, objects, string, the_string, unknown
from broker.protocols.losses import MalformedRequest
from broker.protocols.openai_chat.parts import only_texts_and_media, read_content
from broker.protocols.tool_arguments import read_arguments

_KEYS = {
    "system": frozenset({"role", "content", "name"}),
    "developer": frozenset({"role", "content", "name"}),
    "user": frozenset({"role", "content", "name"}),
    "assistant": frozenset(
        {
            "role",
            "content",
            "name",
            "refusal",
            "tool_calls",
            "function_call",
            "audio",
            "reasoning_content",
            "reasoning",
            "reasoning_details",
            "annotations",
        }
    ),
    "tool": frozenset({"role", "content", "tool_call_id", "name"}),
    "function": frozenset({"role", "content", "name"}),
}
_CALL_KEYS = frozenset({"id", "type", "index", "function", "custom", "extra_content", "provider_specific_fields"})

THOUGHTS = ("reasoning_content", "reasoning")
"""Where DeepSeek and vLLM put thoughts; newer vLLM and OpenRouter."""


@dataclass(slots=True)
class Conversation:
    """What the messages say."""

    turns: tuple[Turn, ...] = ()
    system: tuple[TextPart | MediaPart, ...] = ()
    unmapped: list[Unmapped] = field(default_factory=list)


def read_messages(messages: Sequence[Any] | None) -> Conversation:
    """Read all messages; raises `MalformedRequest`."""
    if not messages:
        raise MalformedRequest("/messages", "must be an array that is not empty")
    reader = _Reader()
    for message, path in objects(list(messages), "/messages"):
        reader.read(message, path)
    return Conversation(turns=tuple(reader.turns), system=tuple(reader.system), unmapped=reader.unmapped)


class _Reader:
    """Walks the messages once."""

    __slots__ = ("_last_function_call", "system", "turns", "unmapped")

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.system: list[TextPart | MediaPart] = []
        self.unmapped: list[Unmapped] = []
        self._last_function_call = ""
        """Deprecated calls have no id: theirs is made of where they stand."""

    def read(self, message: dict[str, Any], path: str) -> None:
        role = message.get("role")
        known = _KEYS.get(role) if isinstance(role, str) else None
        if known is None:
            raise MalformedRequest(f"{path}/role", f"must be one of {', '.join(_KEYS)}")
        self.unmapped += unknown(message, known, path)
        match role:
            case "system" | "developer":
                self._operator(message, path)
            case "user":
                self._name(message, path)
                self.turns.append(
                    Turn(role=Role.USER, parts=tuple(read_content(message, path, self.unmapped)), path=path)
                )
            case "assistant":
                self._name(message, path)
                self.turns.append(Turn(role=Role.ASSISTANT, parts=tuple(self._assistant(message, path)), path=path))
            case "tool":
                self._result(message, the_string(message, "tool_call_id", path), path)
            case _:
                self._result(message, self._last_function_call, path)

    def _operator(self, message: dict[str, Any], path: str) -> None:
        parts = only_texts_and_media(read_content(message, path, self.unmapped), self.unmapped)
        self._name(message, path)
        if self.turns:
            self.turns.append(Turn(role=Role.SYSTEM, parts=parts, path=path))
        else:
            self.system += parts

    def _assistant(self, message: dict[str, Any], path: str) -> list[Part]:
        parts: list[Part] = [
            ReasoningPart(text=text, path=f"{path}/{key}")
            for key in THOUGHTS
            if message.get(key) and (text := string(message, key, path))
        ]
        if message.get("reasoning_details"):
            parts.append(ReasoningPart(path=f"{path}/reasoning_details"))
        if message.get("annotations"):
            lost = "where a text has its words from is told in OpenAI's own way"
            self.unmapped.append(_unmapped(f"{path}/annotations", "unsupported_field", lost, LossClass.HINT))
        parts += read_content(message, path, self.unmapped)
        refusal = string(message, "refusal", path)
        if refusal:
            parts.append(RefusalPart(text=refusal, path=f"{path}/refusal"))
        calls = array(message, "tool_calls", path) or []
        parts += [_call(call, at, self.unmapped) for call, at in objects(calls, f"{path}/tool_calls")]
        function_call = an_object(message, "function_call", path)
        if function_call is not None:
            self._last_function_call = f"call_{path.rpartition('/')[2]}"
            parts.append(_function_call(function_call, self._last_function_call, f"{path}/function_call"))
        if message.get("audio") is not None:
            lost = "an earlier answer in sound is known by its id only"
            self.unmapped.append(_unmapped(f"{path}/audio", "foreign_file", lost, LossClass.CONTENT))
        return parts

    def _result(self, message: dict[str, Any], call_id: str, path: str) -> None:
        content = only_texts_and_media(read_content(message, path, self.unmapped), self.unmapped)
        part = ResultPart(call_id=call_id, parts=content, name=string(message, "name", path), path=path)
        self.turns.append(Turn(role=Role.USER, parts=(part,), path=path))

    def _name(self, message: dict[str, Any], path: str) -> None:
        if string(message, "name", path):
            lost = "names of speakers are OpenAI's own"
            self.unmapped.append(_unmapped(f"{path}/name", "unsupported_field", lost, LossClass.SAMPLING))


def _unmapped(path: str, code: str, detail: str, loss_class: LossClass) -> Unmapped:
    return Unmapped(path=path, code=code, detail=detail, loss_class=loss_class)


def _call(call: dict[str, Any], path: str, unmapped: list[Unmapped]) -> CallPart:
    call_id = the_string(call, "id", path)
    unmapped += unknown(call, _CALL_KEYS, path)
    if call.get("type") == "custom":
        custom = an_object(call, "custom", path) or {}
        return CallPart(
            id=call_id,
            name=the_string(custom, "name", f"{path}/custom"),
            arguments=None,
            arguments_text=the_string(custom, "input", f"{path}/custom"),
            custom=True,
            path=path,
        )
    function = an_object(call, "function", path)
    if function is None:
        raise MalformedRequest(f"{path}/function", "is missing")
    return _function_call(function, call_id, path, signature=signature_of(call))


def _function_call(function: dict[str, Any], call_id: str, path: str, *, signature: str | None = None) -> CallPart:
    text = string(function, "arguments", path) or ""
    return CallPart(
        id=call_id,
        name=the_string(function, "name", path),
        arguments=read_arguments(text),
        arguments_text=text,
        signature=signature,
        path=path,
    )


def signature_of(call: Object) -> str | None:
    """Find Gemini's thought signature where Google's OpenAI-compatible endpoint puts it, or where a gateway does."""
    match call:
        case {"extra_content": {"google": {"thought_signature": str(signature)}}}:
            return signature
        case {"provider_specific_fields": {"thought_signature": str(signature)}}:
            return signature
        case _:
            return None
