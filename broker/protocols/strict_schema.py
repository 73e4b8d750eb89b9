"""What OpenAI takes as a strict schema, in all of its dialects."""

_DEEPEST = 100
"""Levels of JSON, several to one of a schema, of which OpenAI takes ten."""


def is_closed(schema: object, depth: int = 0) -> bool:
    """Whether OpenAI takes a schema as strict: every object in it closed, and all its properties required.

    One that is nested deeper than any that is taken is not. Source: OpenAI guide "Structured outputs", supported
    schemas.
    """
    if depth > _DEEPEST:
        return False
    match schema:
        case dict():
            properties = schema.get("properties")
            kind = schema.get("type")
            may_be_object = kind == "object" or (isinstance(kind, list) and "object" in kind)
            if may_be_object or isinstance(properties, dict):
                required = schema.get("required")
                names = set(properties) if isinstance(properties, dict) else set()
                listed = set(map(str, required)) if isinstance(required, list) else set()
                if schema.get("additionalProperties") is not False or names != listed:
                    return False
            return all(is_closed(inner, depth + 1) for inner in schema.values())
        case list():
            return all(is_closed(inner, depth + 1) for inner in schema)
        case _:
            return True
