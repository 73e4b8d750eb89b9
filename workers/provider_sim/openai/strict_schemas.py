"""What OpenAI demands of a schema that is to be followed strictly."""

from collections.abc import Iterator

from pydantic import JsonValue

_NOT_PERMITTED = ("allOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "patternProperties")


def complaint(schema: dict[str, JsonValue]) -> str | None:
    """Return what is wrong with a schema that must be strict, `None` when nothing is."""
    if schema.get("type") != "object":
        return "schema must be a JSON Schema of 'type: \"object\"'."
    return next(_complaints(schema, ()), None)


def _complaints(schema: JsonValue, place: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(schema, dict):
        return
    context = f"In context={place}, "
    for keyword in _NOT_PERMITTED:
        if keyword in schema:
            yield f"{context}'{keyword}' is not permitted."
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, dict):
        if schema.get("additionalProperties") is not False:
            yield f"{context}'additionalProperties' is required to be supplied and to be false."
        names = list(properties) if isinstance(properties, dict) else []
        required = schema.get("required", [])
        missing = [name for name in names if not isinstance(required, list) or name not in required]
        if missing:
            yield (
                f"{context}'required' is required to be supplied and to be an array including every key in "
                f"properties. Missing '{missing[0]}'."
            )
    for name in ("properties", "$defs", "definitions"):
        group = schema.get(name)
        for key, value in group.items() if isinstance(group, dict) else ():
            yield from _complaints(value, (*place, name, key))
    yield from _complaints(schema.get("items"), (*place, "items"))
    options = schema.get("anyOf")
    for index, option in enumerate(options if isinstance(options, list) else ()):
        yield from _complaints(option, (*place, "anyOf", str(index)))
