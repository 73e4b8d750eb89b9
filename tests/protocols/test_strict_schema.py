from typing import Any

import pytest

from broker.protocols.strict_schema import is_closed

CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "closed"),
    [
        (CLOSED, True),
        (None, True),
        ({"type": "string"}, True),
        ({"type": "object"}, False),
        ({"properties": {}}, False),
        ({**CLOSED, "required": []}, False),
        ({**CLOSED, "required": ["a", "b"]}, False),
        ({**CLOSED, "required": "a"}, False),
        ({**CLOSED, "additionalProperties": True}, False),
        ({**CLOSED, "properties": {"a": {"type": "object"}}}, False),
        ({**CLOSED, "properties": {"a": CLOSED}}, True),
        ({"type": "array", "items": CLOSED}, True),
        ({"anyOf": [CLOSED, {"type": "object"}]}, False),
        ({"$defs": {"x": {"type": "object"}}, "$ref": "#/$defs/x"}, False),
    ],
)
def test_every_object_is_closed_and_requires_all_its_properties(schema: Any, closed: bool) -> None:
    assert is_closed(schema) is closed


@pytest.mark.parametrize("wrap", [lambda inner: {"items": inner}, lambda inner: [inner]])
def test_a_schema_that_is_nested_without_end_is_not_strict(wrap: Any) -> None:
    schema: Any = CLOSED
    for _ in range(100_000):
        schema = wrap(schema)
    assert is_closed(schema) is False
    while isinstance(schema, list) or "items" in schema:  # unwound by hand: to free it would nest as deep
        schema = schema[0] if isinstance(schema, list) else schema["items"]
