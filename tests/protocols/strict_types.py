"""The request types of a vendor's SDK, made strict: an iterable is a list, and a member that is not listed is a fault.

SDKs type their requests as `TypedDict`s whose arrays are iterables, which pydantic would check only when they are
walked, and whose unknown members it would let pass.
"""

import types
from collections.abc import Iterable
from os import PathLike
from typing import IO, Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter
from typing_extensions import TypedDict, is_typeddict

_made: dict[Any, Any] = {}


def strict_adapter(kind: Any) -> TypeAdapter[Any]:
    """An adapter that judges JSON by a request type, leaving nothing out."""
    return TypeAdapter(_strict(kind))


def _strict(kind: Any) -> Any:
    if is_typeddict(kind):
        if kind not in _made:
            _made[kind] = _strict_dict(kind)
        return _made[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is None or origin is Literal:
        return kind
    if origin in (Annotated, Required, NotRequired):
        return _strict(arguments[0])
    if origin in (Union, types.UnionType):
        return Union[tuple(_strict(one) for one in arguments if not _is_no_json(one))]  # noqa: UP007  # of a variable
    if origin in (list, Iterable) or getattr(origin, "__name__", "") == "SequenceNotStr":
        return list[_strict(arguments[0])]  # type: ignore[misc]  # a type that is made here
    return origin[tuple(map(_strict, arguments))]


def _is_no_json(kind: Any) -> bool:
    """Open files, paths, and an answer's models, which SDKs take for a producer's convenience."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _is_no_json(get_args(kind)[0])
    if origin in (Union, types.UnionType):
        return all(map(_is_no_json, get_args(kind)))
    kind = origin or kind
    return isinstance(kind, type) and issubclass(kind, (BaseModel, IO, PathLike, bytes))


def _strict_dict(kind: Any) -> Any:
    hints = get_type_hints(kind, include_extras=True)
    fields = {
        name: (Required if _is_required(kind, name, hint) else NotRequired)[_strict(hint)]
        for name, hint in hints.items()
    }
    made = TypedDict(kind.__name__, fields)  # type: ignore[misc]  # of fields that are made here
    extra = getattr(kind, "__pydantic_config__", {}).get("extra", "forbid")
    made.__pydantic_config__ = ConfigDict(extra=extra, strict=True)  # type: ignore[attr-defined]
    return made


def _is_required(kind: Any, name: str, hint: Any) -> bool:
    # Annotations that are strings hide their `Required` from `__required_keys__`
    return get_origin(hint) is Required or (get_origin(hint) is not NotRequired and name in kind.__required_keys__)
