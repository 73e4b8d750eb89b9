"""Reads Gemini's requests, which are protocol buffers written as JSON.

So names may come as `camelCase` or `snake_case`, numbers as texts, a list of one element as the element, enums in any
case, and null is unset. What a producer defines (schemas, arguments, responses) is JSON and is not read in this way.
"""

import re
from collections.abc import Mapping
from typing import Any

from broker.domain.loss import LossClass
from broker.protocols.canonical.request import Unmapped
from broker.protocols.fields import pointer
from broker.protocols.losses import MalformedRequest

_WHOLE = re.compile(r"-?\d{1,19}", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,32}(?:\.\d{1,32})?(?:[eE][+-]?\d{1,3})?", re.ASCII)


class Message:
    """One object of a body: its members by their `camelCase` names, and where they stand in the body."""

    __slots__ = ("_spelled", "members", "path")

    def __init__(self, value: dict[str, Any], path: str) -> None:
        self.path = path
        self.members: Mapping[str, Any] = value
        self._spelled: Mapping[str, str] = {}
        if "_" in "".join(value):
            self._rename(value)

    def _rename(self, value: dict[str, Any]) -> None:
        members: dict[str, Any] = {}
        spelled = {}
        for key, inner in value.items():
            name = camel(key)
            if members.get(name) is not None and inner is not None:
                raise MalformedRequest(pointer(self.path, key), f"{name} is said twice, in two spellings")
            if inner is not None or name not in members:
                members[name] = inner
                spelled[name] = key
        self.members, self._spelled = members, spelled

    def get(self, name: str) -> Any:
        """What was said, of whatever type; `None` where nothing was."""
        return self.members.get(name)

    def at(self, name: str) -> str:
        """The JSON pointer of a member, as it is spelled in the body."""
        spelled = self._spelled.get(name, name) if self._spelled else name
        return f"{self.path}/{spelled}" if spelled.isalnum() else pointer(self.path, spelled)

    def has(self, name: str) -> bool:
        return self.members.get(name) is not None

    def string(self, name: str) -> str | None:
        found = self.members.get(name)
        if found is None or type(found) is str:
            return found
        raise MalformedRequest(self.at(name), "must be a string")

    def the_string(self, name: str) -> str:
        found = self.string(name)
        if not found:  # an empty text is an unset one
            raise MalformedRequest(self.at(name), "is missing")
        return found

    def enum(self, name: str) -> str | None:
        """The name of an enum's value, in capitals; what ends in `UNSPECIFIED` is unset."""
        found = self.string(name)
        if not found:
            return None
        found = found.upper()
        return None if found.endswith("UNSPECIFIED") else found

    def whole(self, name: str) -> int | None:
        found = self.members.get(name)
        if found is None or type(found) is int:
            return found
        if isinstance(found, float) and found.is_integer():
            return int(found)
        if isinstance(found, str) and _WHOLE.fullmatch(found):
            return int(found)
        raise MalformedRequest(self.at(name), "must be a whole number")

    def number(self, name: str) -> float | None:
        found = self.members.get(name)
        if found is None or type(found) is int or isinstance(found, float):
            return found
        if isinstance(found, str) and _NUMBER.fullmatch(found):
            return float(found)
        raise MalformedRequest(self.at(name), "must be a number")

    def flag(self, name: str) -> bool | None:
        found = self.members.get(name)
        if found is None or type(found) is bool:
            return found
        raise MalformedRequest(self.at(name), "must be true or false")

    def object(self, name: str) -> dict[str, Any] | None:
        """An object that is the producer's own: read as it is."""
        found = self.members.get(name)
        if found is None or type(found) is dict:
            return found
        raise MalformedRequest(self.at(name), "must be an object")

    def message(self, name: str) -> "Message | None":
        found = self.object(name)
        return None if found is None else Message(found, self.at(name))

    def messages(self, name: str) -> "list[Message]":
        """A list of objects; one object alone is a list of one."""
        found = self.members.get(name)
        if found is None:
            return []
        at = self.at(name)
        if type(found) is dict:
            return [Message(found, at)]
        if type(found) is not list:
            raise MalformedRequest(at, "must be an array of objects")
        messages = []
        for index, value in enumerate(found):
            if type(value) is not dict:
                raise MalformedRequest(f"{at}/{index}", "must be an object")
            messages.append(Message(value, f"{at}/{index}"))
        return messages

    def strings(self, name: str) -> tuple[str, ...]:
        found = self.members.get(name)
        if found is None:
            return ()
        at = self.at(name)
        if type(found) is str:
            return (found,)
        if type(found) is not list:
            raise MalformedRequest(at, "must be an array of strings")
        for index, value in enumerate(found):
            if type(value) is not str:
                raise MalformedRequest(f"{at}/{index}", "must be a string")
        return tuple(found)

    def unknown(self, known: frozenset[str]) -> list[Unmapped]:
        """Members that nobody here knows: they may change the answer."""
        if self.members.keys() <= known:
            return []
        return [
            Unmapped(
                path=self.at(name),
                code="unknown_field",
                detail=f"{name} is not known, so it cannot be translated",
                loss_class=LossClass.SAMPLING,
            )
            for name, inner in self.members.items()
            if name not in known and inner is not None
        ]

    def unsupported(
        self,
        name: str,
        detail: str,
        loss_class: LossClass,
        *,
        code: str = "unsupported_field",
        droppable: bool = False,
    ) -> list[Unmapped]:
        """A member that is known and has no place in another dialect, if it was said."""
        found = self.members.get(name)
        if found is None or found in ({}, []):
            return []
        return [
            Unmapped(
                path=self.at(name),
                code=code,
                detail=detail,
                loss_class=loss_class,
                droppable=droppable,
            )
        ]


def camel(key: str) -> str:
    """A name in `camelCase`; a leading underscore belongs to it."""
    head, *words = key.lstrip("_").split("_")
    return key[: len(key) - len(key.lstrip("_"))] + head + "".join(word[:1].upper() + word[1:] for word in words)
