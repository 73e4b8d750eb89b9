"""Reads the message `Schema`, which is a subset of OpenAPI, as JSON Schema.

Source: Gemini API reference, `Schema`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from broker.protocols.fields import pointer
from broker.protocols.gemini_generate_content.proto_json import camel
from broker.protocols.losses import MalformedRequest

_DEEPEST = 100
_TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
_RENAMED = {"defs": "$defs", "ref": "$ref"}
_LEFT_OUT = frozenset({"nullable", "propertyOrdering"})
"""The one becomes part of the type, the other says nothing of what is valid."""


def json_schema(schema: object, path: str, depth: int = 0) -> dict[str, object]:
    """A JSON Schema that says what a `Schema` says; raises `MalformedRequest`."""
    if type(schema) is not dict:
        raise MalformedRequest(path, "must be an object")
    if depth > _DEEPEST:
        raise MalformedRequest(path, "is nested too deeply")
    result: dict[str, object] = {}
    members: dict[str, Any] = schema
    for key, value in members.items():
        name = camel(key) if "_" in key else _RENAMED.get(key, key)
        if value is None or name in _LEFT_OUT:
            continue
        read = _READERS.get(name)
        said = value if read is None else read(value, pointer(path, key), depth + 1)
        if said is not None:
            result[name] = said
    if schema.get("nullable") is True:
        _admit_null(result)
    return result


def _map(value: object, at: str, depth: int) -> object:
    if type(value) is not dict:
        raise MalformedRequest(at, "must be an object")
    return {name: json_schema(one, pointer(at, name), depth) for name, one in value.items()}


def _list(value: object, at: str, depth: int) -> object:
    if type(value) is not list:
        raise MalformedRequest(at, "must be an array of schemas")
    return [json_schema(one, f"{at}/{index}", depth) for index, one in enumerate(value)]


def _flag_or_schema(value: object, at: str, depth: int) -> object:
    return json_schema(value, at, depth) if type(value) is dict else value


def _kind(value: object, at: str, depth: int) -> object:
    if type(value) is list and depth <= _DEEPEST:  # JSON Schema's own way, which newer models take here as well
        return [_kind(one, f"{at}/{index}", depth + 1) for index, one in enumerate(value)]
    kind = value.lower() if isinstance(value, str) else ""
    if kind == "type_unspecified":
        return None
    if kind not in _TYPES:
        raise MalformedRequest(at, f"must be one of {', '.join(sorted(_TYPES))}")
    return kind


def _count(value: object, at: str, depth: int) -> object:  # noqa: ARG001  # one signature for all
    if not isinstance(value, str):
        return value
    if value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    raise MalformedRequest(at, "must be a whole number")


_READERS: Mapping[str, Callable[[Any, str, int], object]] = {
    "type": _kind,
    "properties": _map,
    "$defs": _map,
    "items": json_schema,
    "additionalProperties": _flag_or_schema,
    "anyOf": _list,
    **dict.fromkeys(("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"), _count),
}


def _admit_null(schema: dict[str, object]) -> None:
    match schema:
        case {"type": str(kind)} if kind != "null":
            schema["type"] = [kind, "null"]
        case {"type": [*kinds]} if "null" not in kinds:
            schema["type"] = [*kinds, "null"]
        case {"anyOf": [*choices]}:
            schema["anyOf"] = [*choices, {"type": "null"}]
    match schema:
        case {"enum": [*values]} if None not in values:
            schema["enum"] = [*values, None]
