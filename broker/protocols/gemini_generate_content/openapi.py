"""What Gemini makes of a JSON Schema: its subset of OpenAPI for old models, and what it does not heed.

Source: Gemini API guide "Structured outputs", supported schemas and limitations.
"""

from collections.abc import Iterator, Mapping

_DEEPEST = 100
_MAPS = frozenset({"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"})
_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_VALUES = frozenset({"enum", "const", "default", "example", "examples", "required"})
_SAME = frozenset(
    {
        *("format", "title", "description", "required", "minimum", "maximum", "minItems", "maxItems", "minLength"),
        *("maxLength", "pattern", "minProperties", "maxProperties", "nullable", "example", "default"),
        "propertyOrdering",
    }
)
"""Said by the message `Schema` in the same way."""
_REMARKS = frozenset({"$schema", "$id", "$comment", "examples", "deprecated", "readOnly", "writeOnly"})
_UNHEEDED = frozenset(
    {
        *("pattern", "const", "not", "allOf", "if", "then", "else", "minLength", "maxLength", "multipleOf"),
        *("exclusiveMinimum", "exclusiveMaximum", "uniqueItems", "contains", "minContains", "maxContains"),
        *("patternProperties", "propertyNames", "minProperties", "maxProperties", "dependentRequired"),
        *("dependentSchemas", "unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "dependencies"),
    }
)
"""Constraints that Gemini reads over."""


def openapi(schema: object, lost: set[str], depth: int = 0) -> dict[str, object]:
    """The message `Schema` that says what a JSON Schema says, for models that take no other.

    Keywords that it cannot say are left out and put into `lost`.
    """
    result: dict[str, object] = {}
    if not isinstance(schema, Mapping):
        return result
    if depth > _DEEPEST:
        lost.add("nesting")
        return result
    for key, value in schema.items():
        result.update(_said(key, value, lost, depth + 1))
    return result


def _said(key: str, value: object, lost: set[str], depth: int) -> dict[str, object]:
    found: dict[str, object] = {}
    match key, value:
        case "type", str() | list():
            found = _type(value)
        case "properties", dict(properties):  # an empty map is refused
            if properties:
                found[key] = {name: openapi(one, lost, depth) for name, one in properties.items()}
        case "items", dict():
            found[key] = openapi(value, lost, depth)
        case (("anyOf" | "oneOf"), [*choices]):
            found["anyOf"] = [openapi(one, lost, depth) for one in choices]
        case "enum", [*values]:
            found = _enum(values, lost)
        case "additionalProperties", False:
            pass  # objects are closed here
        case _ if key in _SAME:
            found[key] = value
        case _ if key not in _REMARKS:
            lost.add(key)
    return found


def _type(kinds: object) -> dict[str, object]:
    if isinstance(kinds, str):
        return {"type": kinds.upper()}
    listed = kinds if isinstance(kinds, list) else []
    named = [kind.upper() for kind in listed if isinstance(kind, str) and kind != "null"]
    nullable = {"nullable": True} if "null" in listed else {}
    if len(named) == 1:
        return {"type": named[0], **nullable}
    return {"anyOf": [{"type": kind} for kind in named], **nullable}


def _enum(values: list[object], lost: set[str]) -> dict[str, object]:
    """Values of an enum are texts here; null is told by the type."""
    texts = [one for one in values if isinstance(one, str)]
    if any(not isinstance(one, str) and one is not None for one in values):
        lost.add("enum")
    return {"enum": texts} if texts else {}


def unheeded(schema: Mapping[str, object]) -> set[str]:
    """The constraints in a JSON Schema that Gemini does not heed, though it takes the schema."""
    return {keyword for part in _parts(schema, 0) for keyword in _unheeded_here(part)}


def _unheeded_here(schema: Mapping[str, object]) -> Iterator[str]:
    yield from schema.keys() & _UNHEEDED
    if "$ref" in schema and any(not key.startswith("$") for key in schema):
        yield "$ref with siblings"


def _parts(schema: object, depth: int) -> Iterator[Mapping[str, object]]:
    """A schema and all schemas in it."""
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return
    yield schema
    for key, value in schema.items():
        if key in _VALUES:
            continue
        if isinstance(value, Mapping):
            for inner in value.values() if key in _MAPS else (value,):
                yield from _parts(inner, depth + 1)
        elif key in _LISTS and isinstance(value, list):
            for inner in value:
                yield from _parts(inner, depth + 1)
