"""What Anthropic demands of a schema that an answer or a strict tool has to follow."""

from collections.abc import Iterator

from pydantic import JsonValue

from workers.provider_sim.names import names

_NOT_SUPPORTED = names(
    "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength maxItems uniqueItems "
    "minProperties maxProperties not if then else oneOf patternProperties dependentRequired dependentSchemas"
)


def complaint(schema: JsonValue) -> str | None:
    """Return what is wrong with a schema, `None` when nothing is: objects are closed, and nothing has bounds."""
    return next(_complaints(schema), None)


def _complaints(schema: JsonValue) -> Iterator[str]:
    if not isinstance(schema, dict):
        return
    kind = schema.get("type")
    if wrong := _NOT_SUPPORTED & schema.keys():
        yield f"For '{kind}' type, property '{min(wrong)}' is not supported"
    least = schema.get("minItems")
    if least not in (None, 0, 1):
        yield "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
    if (kind == "object" or "properties" in schema) and schema.get("additionalProperties") is not False:
        yield "For 'object' type, 'additionalProperties' must be explicitly set to false"
    for name in ("properties", "$defs", "definitions"):
        group = schema.get(name)
        for value in group.values() if isinstance(group, dict) else ():
            yield from _complaints(value)
    yield from _complaints(schema.get("items"))
    for name in ("anyOf", "allOf"):
        options = schema.get(name)
        for option in options if isinstance(options, list) else ():
            yield from _complaints(option)
