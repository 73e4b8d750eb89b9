"""Reads members of a request's objects: of the right type, null as unset, or refused by JSON pointer (RFC 6901)."""

from collections.abc import Iterator, Mapping
from typing import Any

from broker.domain.loss import LossClass
from broker.protocols.canonical.request import Unmapped
from broker.protocols.losses import MalformedRequest

Object = Mapping[str, Any]


def pointer(at: str, key: str) -> str:
    """The JSON pointer of a member of the object at `at`."""
    if "~" in key or "/" in key:
        key = key.replace("~", "~0").replace("/", "~1")
    return f"{at}/{key}"


def string(value: Object, key: str, at: str = "") -> str | None:
    """A text, if it is there."""
    found = value.get(key)
    if found is None or type(found) is str:
        return found
    raise MalformedRequest(pointer(at, key), "must be a string")


def the_string(value: Object, key: str, at: str = "") -> str:
    """A text that must be there."""
    found = value.get(key)
    if type(found) is str:
        return found
    raise MalformedRequest(pointer(at, key), "is missing" if found is None else "must be a string")


def whole(value: Object, key: str, at: str = "") -> int | None:
    """A whole number, if it is there; 3.0 is one."""
    found = value.get(key)
    if found is None or type(found) is int:
        return found
    if isinstance(found, float) and found.is_integer():
        return int(found)
    raise MalformedRequest(pointer(at, key), "must be a whole number")


def number(value: Object, key: str, at: str = "") -> float | None:
    """A number, if it is there; a whole one stays whole."""
    found = value.get(key)
    if found is None or type(found) is int or isinstance(found, float):
        return found
    raise MalformedRequest(pointer(at, key), "must be a number")


def flag(value: Object, key: str, at: str = "") -> bool | None:
    """True or false, if it is there."""
    found = value.get(key)
    if found is None or type(found) is bool:
        return found
    raise MalformedRequest(pointer(at, key), "must be true or false")


def an_object(value: Object, key: str, at: str = "") -> dict[str, Any] | None:
    """An object, if it is there."""
    found = value.get(key)
    if found is None or type(found) is dict:
        return found
    raise MalformedRequest(pointer(at, key), "must be an object")


def array(value: Object, key: str, at: str = "") -> list[Any] | None:
    """An array, if it is there."""
    found = value.get(key)
    if found is None or type(found) is list:
        return found
    raise MalformedRequest(pointer(at, key), "must be an array")


def objects(values: list[Any], at: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The elements of an array, each of which must be an object, with their pointers."""
    for index, value in enumerate(values):
        path = f"{at}/{index}"
        if type(value) is not dict:
            raise MalformedRequest(path, "must be an object")
        yield value, path


def strings(values: list[Any], at: str) -> tuple[str, ...]:
    """An array whose elements must be texts."""
    for index, value in enumerate(values):
        if type(value) is not str:
            raise MalformedRequest(f"{at}/{index}", "must be a string")
    return tuple(values)


def unknown(value: Object, known: frozenset[str], at: str = "") -> list[Unmapped]:
    """Members that nobody here knows: they may change the answer. Those set to null say nothing."""
    if value.keys() <= known:
        return []
    return [
        Unmapped(
            path=pointer(at, key),
            code="unknown_field",
            detail=f"{key} is not known, so it cannot be translated",
            loss_class=LossClass.SAMPLING,
        )
        for key, inner in value.items()
        if key not in known and inner is not None
    ]
