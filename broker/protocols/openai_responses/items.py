"""Reads the items of a request: messages, calls, results, thoughts, and what only OpenAI itself understands."""

from typing import Any

from broker.domain.loss import LossClass
from broker.protocols.canonical.parts import (
    CallPart,
    MediaPart,
    OpaquePart,
    Part,
    ReasoningPart,
    ResultPart,
    TextPart,
)
from broker.protocols.canonical.request import Role, Turn, Unmapped
from broker.protocols.fields import Object, array, objects, string, the_string, unknown
from broker.protocols.losses import MalformedRequest
from broker.protocols.openai_responses.parts import read_content
from broker.protocols.tool_arguments import read_arguments

_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "system": Role.SYSTEM, "developer": Role.SYSTEM}
_KEYS = {
    "message": frozenset({"type", "role", "content", "id", "status", "phase"}),
    "function_call": frozenset({"type", "id", "call_id", "name", "arguments", "status", "namespace", "caller"}),
    "function_call_output": frozenset({"type", "id", "call_id", "output", "status", "name", "namespace", "caller"}),
    "custom_tool_call": frozenset({"type", "id", "call_id", "name", "input", "status", "namespace", "caller"}),
    "custom_tool_call_output": frozenset({"type", "id", "call_id", "output", "status", "caller"}),
    "reasoning": frozenset({"type", "id", "summary", "content", "encrypted_content", "status"}),
}
_STATE = {
    "item_reference": "an item that OpenAI keeps is known to it only",
    "compaction": "a conversation that OpenAI has compacted can be read by it only",
}
"""Items that stand for a part of the conversation which is not in the request."""


class Items:
    """What the items of a request say; raises `MalformedRequest` while it reads them."""

    __slots__ = ("_open", "_parts", "_path", "_role", "system", "turns", "unmapped")

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.system: list[TextPart | MediaPart] = []
        self.unmapped: list[Unmapped] = []
        self._role = Role.USER
        self._parts: list[Part] = []
        self._path = ""
        self._open = False
        """Whether a turn is being gathered: an assistant's, or one of results."""

    def read(self, given: object) -> None:
        """Read `input`: a text, or items."""
        if type(given) is str:
            if given:
                self.turns.append(Turn(role=Role.USER, parts=(TextPart(text=given, path="/input"),), path="/input"))
            return
        if type(given) is not list:
            raise MalformedRequest("/input", "must be a string or an array of items")
        for item, path in objects(given, "/input"):
            self._item(item, path)
        self._close()

    def _item(self, item: dict[str, Any], path: str) -> None:
        kind = item.get("type")
        if kind is None:  # the short spellings of a message and of a reference
            kind = "message" if "role" in item or "id" not in item else "item_reference"
        if type(kind) is not str:
            raise MalformedRequest(f"{path}/type", "must be a string, such as message")
        known = _KEYS.get(kind)
        if known is not None and not item.keys() <= known:
            self.unmapped += unknown(item, known, path)
        match kind:
            case "message":
                self._message(item, path)
            case "function_call":
                self._gather(Role.ASSISTANT, self._call(item, path), path)
            case "custom_tool_call":
                self._gather(Role.ASSISTANT, self._custom_call(item, path), path)
            case "function_call_output" | "custom_tool_call_output":
                self._gather(Role.USER, self._result(item, path), path)
            case "reasoning":
                self._gather(Role.ASSISTANT, _reasoning(item, path), path)
            case _:
                self._foreign(kind, item, path)

    def _message(self, item: dict[str, Any], path: str) -> None:
        role = item.get("role")
        speaker = _ROLES.get(role) if isinstance(role, str) else None
        if speaker is None:
            raise MalformedRequest(f"{path}/role", f"must be one of {', '.join(_ROLES)}")
        parts = read_content(item, "content", path, self.unmapped)
        if item.get("phase") is not None:
            self._lost(f"{path}/phase", "unsupported_field", "phases of an answer are OpenAI's own", LossClass.HINT)
        match speaker:
            case Role.ASSISTANT:
                for part in parts:
                    self._gather(speaker, part, path)
            case Role.USER:
                self._close()
                self.turns.append(Turn(role=speaker, parts=tuple(parts), path=path))
            case Role.SYSTEM:
                self._operator(parts, path)

    def _operator(self, parts: list[Part], path: str) -> None:
        said = tuple(part for part in parts if isinstance(part, TextPart | MediaPart))
        for part in parts:
            if part not in said:
                lost = "an operator's message holds texts and media only"
                self._lost(part.path, "unsupported_part", lost, LossClass.CONTENT)
        self._close()
        if self.turns:
            self.turns.append(Turn(role=Role.SYSTEM, parts=said, path=path))
        else:
            self.system += said

    def _call(self, item: dict[str, Any], path: str) -> CallPart:
        text = string(item, "arguments", path) or ""
        self._note_namespace(item, path)
        return CallPart(
            id=the_string(item, "call_id", path),
            name=the_string(item, "name", path),
            arguments=read_arguments(text),
            arguments_text=text,
            path=path,
        )

    def _custom_call(self, item: dict[str, Any], path: str) -> CallPart:
        self._note_namespace(item, path)
        return CallPart(
            id=the_string(item, "call_id", path),
            name=the_string(item, "name", path),
            arguments=None,
            arguments_text=the_string(item, "input", path),
            custom=True,
            path=path,
        )

    def _result(self, item: dict[str, Any], path: str) -> ResultPart:
        content: list[TextPart | MediaPart] = []
        for part in read_content(item, "output", path, self.unmapped):
            if isinstance(part, TextPart | MediaPart):
                content.append(part)
            else:
                self._lost(part.path, "unsupported_part", "a result holds texts and media only", LossClass.CONTENT)
        name = string(item, "name", path)
        return ResultPart(call_id=the_string(item, "call_id", path), parts=tuple(content), name=name, path=path)

    def _foreign(self, kind: str, item: dict[str, Any], path: str) -> None:
        """Take an item that only OpenAI understands: a hosted tool's call or result, or state that it keeps."""
        if kind in _STATE:
            self._lost(path, "provider_state", _STATE[kind], LossClass.CONTENT)
            return
        # Tools that the producer runs for the vendor (a shell, a computer) are answered like others.
        role = Role.USER if kind.endswith("_output") or kind == "mcp_approval_response" else Role.ASSISTANT
        self._gather(role, OpaquePart(kind=kind, raw=item, path=path), path)

    def _gather(self, role: Role, part: Part, path: str) -> None:
        """Add to the turn that is being gathered: what the assistant says in a row is one turn, and results are."""
        if not self._open or self._role is not role:
            self._close()
            self._open, self._role, self._path = True, role, path
        self._parts.append(part)

    def _close(self) -> None:
        if self._open:
            self.turns.append(Turn(role=self._role, parts=tuple(self._parts), path=self._path))
            self._open, self._parts = False, []

    def _note_namespace(self, item: Object, path: str) -> None:
        if string(item, "namespace", path) is not None:
            lost = "the namespace of a tool has no place in another dialect"
            self._lost(f"{path}/namespace", "unsupported_field", lost, LossClass.CONTENT, droppable=True)

    def _lost(self, path: str, code: str, detail: str, loss_class: LossClass, *, droppable: bool = False) -> None:
        self.unmapped.append(Unmapped(path=path, code=code, detail=detail, loss_class=loss_class, droppable=droppable))


def _reasoning(item: dict[str, Any], path: str) -> ReasoningPart:
    """Read thoughts: the summary that was shown, or else the thoughts themselves."""
    texts: list[str] = []
    for key in ("summary", "content"):
        shown = [the_string(part, "text", at) for part, at in objects(array(item, key, path) or [], f"{path}/{key}")]
        texts = texts or shown
    return ReasoningPart(text="\n\n".join(texts), signature=string(item, "encrypted_content", path), path=path)
