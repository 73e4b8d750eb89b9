"""Reads the contents of a request: turns, and which response belongs to which call."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from broker.domain.loss import LossClass
from broker.protocols.canonical.parts import CallPart, MediaPart, Part, ReasoningPart, ResultPart, TextPart
from broker.protocols.canonical.request import Role, Turn, Unmapped
from broker.protocols.gemini_generate_content.parts import read_part
from broker.protocols.gemini_generate_content.proto_json import Message
from broker.protocols.losses import MalformedRequest

_CONTENT = frozenset({"role", "parts"})
_ROLES = {"user": Role.USER, "model": Role.ASSISTANT, "function": Role.USER}


def read_contents(body: Message, unmapped: list[Unmapped]) -> tuple[Turn, ...]:
    """Read the conversation; raises `MalformedRequest`."""
    contents = body.messages("contents")
    if not contents:
        raise MalformedRequest(body.at("contents"), "must be an array that is not empty")
    turns = []
    for content in contents:
        role = content.string("role")
        speaker = _ROLES.get(role.lower()) if role else Role.USER
        if speaker is None:
            raise MalformedRequest(content.at("role"), "must be user or model")
        turns.append(Turn(role=speaker, parts=tuple(read_parts(content, unmapped)), path=content.path))
    return _with_ids(turns)


def read_system(body: Message, unmapped: list[Unmapped]) -> tuple[TextPart | MediaPart, ...]:
    """Read what the operator says; raises `MalformedRequest`."""
    content = body.message("systemInstruction")
    if content is None:
        return ()
    parts: list[TextPart | MediaPart] = []
    for part in read_parts(content, unmapped):
        if isinstance(part, TextPart):
            parts += [part] if part.text else []
        elif isinstance(part, MediaPart):
            parts.append(part)
        elif not isinstance(part, ReasoningPart):
            what = "an operator's message holds text and media only"
            unmapped.append(
                Unmapped(path=part.path, code="unsupported_part", detail=what, loss_class=LossClass.CONTENT)
            )
    return tuple(parts)


def read_parts(content: Message, unmapped: list[Unmapped]) -> Iterator[Part]:
    """Read the parts of one content; raises `MalformedRequest`."""
    unmapped += content.unknown(_CONTENT)
    found: Any = content.get("parts")
    if found is None:
        return
    at = content.at("parts")
    if type(found) is dict:
        yield from read_part(found, at, unmapped)
        return
    if type(found) is not list:
        raise MalformedRequest(at, "must be an array of parts")
    for index, value in enumerate(found):
        path = f"{at}/{index}"
        if type(value) is not dict:
            raise MalformedRequest(path, "must be an object")
        text = value.get("text")
        if len(value) == 1 and type(text) is str:  # what most parts are
            yield TextPart(text=text, path=path)
        else:
            yield from read_part(value, path, unmapped)


def _with_ids(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Give ids to calls that have none, and each response that of its call: by its id, else by name and order."""
    calls = [part.id for turn in turns for part in turn.parts if type(part) is CallPart]
    answered = [part.call_id for turn in turns for part in turn.parts if type(part) is ResultPart]
    if not calls and not answered:
        return tuple(turns)
    asked = set(calls)
    if "" not in asked and asked.issuperset(answered):
        return tuple(turns)
    pairing = _Pairing(taken=asked.union(answered), named=asked.intersection(answered))
    return tuple(
        replace(turn, parts=tuple(pairing.paired(turn.parts, f"call_{index}"))) for index, turn in enumerate(turns)
    )


class _Pairing:
    """The calls that wait for a response."""

    __slots__ = ("_named", "_open", "_taken")

    def __init__(self, *, taken: set[str], named: set[str]) -> None:
        self._taken = taken
        self._named = named - {""}
        """Ids that a call and a response share: no other response may have that call."""
        self._open: list[CallPart] = []

    def paired(self, parts: Sequence[Part], ids: str) -> Iterator[Part]:
        """Walk the parts of one turn; `ids` is what new ids begin with."""
        count = 0
        for part in parts:
            match part:
                case CallPart():
                    yield self._asked(part, f"{ids}_{count}")
                    count += 1
                case ResultPart():
                    yield self._answered(part)
                case _:
                    yield part

    def _asked(self, call: CallPart, new_id: str) -> CallPart:
        if not call.id:
            while new_id in self._taken:
                new_id += "_"
            self._taken.add(new_id)
            call = replace(call, id=new_id)
        self._open.append(call)
        return call

    def _answered(self, result: ResultPart) -> ResultPart:
        """Find the call that a response answers; one that answers none keeps the id it came with."""
        if result.call_id in self._named:
            found = next((call for call in self._open if call.id == result.call_id), None)
        else:
            found = next((call for call in self._open if call.name == result.name and call.id not in self._named), None)
        if found is None:
            return result
        self._open.remove(found)
        return replace(result, call_id=found.id)
