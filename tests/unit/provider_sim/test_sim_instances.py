"""Instances of schemas: valid by an independent validator, and provably of their prompt."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.provider_sim.answers import expected_arguments, expected_json, expected_text
from workers.provider_sim.schemas import NotFollowed

NAMES = st.sampled_from(["a", "b", "c", "label"])


def bounded(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    numbers = st.integers(-50, 50)
    both = st.tuples(numbers, st.integers(1, 30)).map(
        lambda pair: {"type": kind, "minimum": pair[0], "maximum": pair[0] + pair[1]}
    )
    open_ended = st.tuples(
        st.sampled_from(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]), numbers
    ).map(lambda pair: {"type": kind, pair[0]: pair[1]})
    steps = st.integers(1, 7).map(lambda step: {"type": kind, "multipleOf": step})
    return st.one_of(both, open_ended, steps, st.just({"type": kind}))


LEAVES = st.one_of(
    st.just({"type": "string"}),
    st.tuples(st.integers(0, 40), st.integers(0, 40)).map(
        lambda pair: {"type": "string", "minLength": min(pair), "maxLength": max(pair)}
    ),
    st.sampled_from(["date", "date-time", "email", "ipv4", "uuid", "other"]).map(
        lambda form: {"type": "string", "format": form}
    ),
    st.sampled_from([r"^[A-Z]{3}$", r"^\d+$", r"^[a-z]+$"]).map(lambda pattern: {"type": "string", "pattern": pattern}),
    st.lists(st.one_of(st.text(), st.integers(), st.none()), min_size=1, max_size=4).map(lambda many: {"enum": many}),
    st.integers().map(lambda value: {"const": value}),
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.just({"type": ["null", "string"]}),
    bounded("integer"),
    bounded("number"),
)


def objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(st.dictionaries(NAMES, inner, max_size=3), st.lists(NAMES, unique=True), st.booleans()).map(
        lambda parts: {
            "type": "object",
            "properties": parts[0],
            "required": [name for name in parts[1] if name in parts[0] or parts[2]],
            **({} if parts[2] else {"additionalProperties": False}),
        }
    )


def grown(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    arrays = st.tuples(inner, st.integers(0, 3), st.integers(0, 3)).map(
        lambda parts: {"type": "array", "items": parts[0], "minItems": parts[1], "maxItems": parts[1] + parts[2]}
    )
    tuples = st.lists(inner, min_size=1, max_size=3).map(
        lambda parts: {"type": "array", "prefixItems": parts, "items": False}
    )
    unions = st.lists(inner, min_size=1, max_size=2).map(lambda parts: {"anyOf": [{"type": "null"}, *parts]})
    return st.one_of(objects(inner), arrays, tuples, unions)


SCHEMAS = st.recursive(LEAVES, grown, max_leaves=8)


@given(schema=SCHEMAS, prompt=st.text())
def test_an_instance_is_valid_and_the_same_every_time(schema: dict[str, Any], prompt: str) -> None:
    made = expected_json(prompt, schema)
    jsonschema_rs.validate(schema, made)
    assert made == expected_json(prompt, schema)


def test_the_first_free_string_is_the_proof_and_the_rest_differs_by_prompt() -> None:
    properties = {
        "kind": {"enum": ["x", "y"]},
        "when": {"type": "string", "format": "date"},
        "short": {"type": "string", "maxLength": 5},
        "label": {"type": "string"},
        "other": {"type": "string"},
        "count": {"type": "integer", "minimum": 0, "maximum": 1_000},
    }
    schema: Any = {"type": "object", "properties": properties}
    made: Any = [expected_json(f"prompt {n}", schema) for n in range(50)]
    for n, one in enumerate(made):
        assert one["label"] == expected_text(f"prompt {n}")
        assert one["other"] != one["label"]
        assert len(one["short"]) <= 5
    assert {one["kind"] for one in made} == {"x", "y"}
    assert len({one["count"] for one in made}) > 25


def test_references_and_parts_are_followed() -> None:
    schema: Any = {
        "$ref": "#/$defs/node",
        "$defs": {
            "named": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
            "node": {
                "allOf": [{"$ref": "#/$defs/named"}],
                "properties": {"next": {"$ref": "#/$defs/node"}, "size": {"$ref": "#/$defs/size"}},
                "required": ["size"],
            },
            "size": {"type": "integer", "minimum": 3, "maximum": 4},
        },
    }
    made: Any = expected_json("p", schema)
    jsonschema_rs.validate(schema, made)
    assert made["name"] == expected_text("p")
    assert made["next"]["next"]["size"] in (3, 4)


def test_the_subset_of_gemini_is_read_as_the_schema_it_means() -> None:
    subset: Any = {
        "type": "OBJECT",
        "properties": {"a": {"type": "STRING"}, "n": {"type": "INTEGER", "nullable": True}},
    }
    plain: Any = {"type": "object", "properties": {"a": {"type": "string"}, "n": {"type": "integer"}}}
    assert expected_json("p", subset) == expected_json("p", plain)


@pytest.mark.parametrize(
    "schema",
    [
        {"not": {"type": "string"}},
        {"type": "string", "pattern": r"^x{40}$"},
        {"type": "string", "pattern": "("},
        {"$ref": "https://example.com/schema"},
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"type": "integer", "minimum": 5, "maximum": 6, "multipleOf": 4},
        {"type": "array", "items": {"const": 1}, "minItems": 2, "uniqueItems": True},
        {"type": "object", "additionalProperties": False, "minProperties": 1},
        {"type": "banana"},
        "no schema",
    ],
)
def test_what_cannot_be_made_is_said_and_never_made_wrongly(schema: Any) -> None:
    with pytest.raises(NotFollowed):
        expected_json("p", schema)


def test_arguments_of_each_call_differ_and_a_tool_without_a_schema_takes_none() -> None:
    schema: Any = {"type": "object", "properties": {"city": {"type": "string"}}}
    assert expected_arguments("p", schema) == {"city": expected_text("p")}
    assert expected_arguments("p", schema, 1) != expected_arguments("p", schema)
    assert expected_arguments("p", None) == {}
    with pytest.raises(NotFollowed):
        expected_arguments("p", {"type": "string"})


def test_json_without_a_schema_carries_the_text() -> None:
    assert expected_json("p", None) == {"answer": expected_text("p")}
