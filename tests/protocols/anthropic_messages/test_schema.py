"""Schemas of answers are closed and without bounds, and nothing is taken out of them in silence."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from broker.domain.loss import LossClass, OnLoss
from broker.protocols.canonical.request import Format, FormatKind, Request
from tests.protocols.anthropic_messages.builders import NEWEST, a_request, dropped, refused, sent


def answering(schema: dict[str, Any] | None, **changes: Any) -> Request:
    wanted = Format(kind=FormatKind.JSON_SCHEMA, schema=schema, path="/response_format", **changes)
    return a_request(format=wanted)


def an_object(properties: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False, **changes}


def fitted(request: Request) -> Any:
    return dropped(request).body["output_config"]["format"]["schema"]


def test_a_schema_that_fits_is_sent_verbatim_and_in_its_own_order() -> None:
    schema = an_object(
        {
            "z": {"type": "string", "format": "date", "description": "When"},
            "a": {"type": ["integer", "null"], "enum": [1, None]},
            "list": {"type": "array", "items": an_object({"b": {"$ref": "#/$defs/b"}}), "minItems": 1},
            "either": {"anyOf": [{"type": "string"}, {"const": 3}]},
        },
        required=["z"],
        **{"$defs": {"b": {"type": "boolean", "default": False}}},
    )
    before = deepcopy(schema)
    outcome = sent(answering(schema, name="n", strict=True))
    written = outcome.body["output_config"]
    assert written == {"format": {"type": "json_schema", "schema": before}}
    assert list(written["format"]["schema"]["properties"]) == ["z", "a", "list", "either"]
    assert outcome.losses == ()


def test_objects_that_do_not_say_are_closed_and_that_is_told() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "string"}}}}}
    before = deepcopy(schema)
    outcome = sent(answering(schema))
    inner = an_object({"b": {"type": "string"}})
    assert outcome.body["output_config"]["format"]["schema"] == an_object({"a": inner})
    assert [(loss.code, loss.path, loss.loss_class) for loss in outcome.losses] == [
        ("schema_closed", "/response_format", LossClass.SEMANTIC)
    ]
    assert schema == before


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        an_object({"a": {"type": "string"}}, additionalProperties=True),
        {"type": ["object", "null"]},
    ],
)
def test_objects_that_are_meant_to_be_open_are_refused_or_closed(schema: dict[str, Any]) -> None:
    assert refused(answering(schema)) == [("schema_keyword", "/response_format")]
    assert fitted(answering(schema))["additionalProperties"] is False


BOUNDS: list[dict[str, Any]] = [
    {"type": "integer", "minimum": 1},
    {"type": "number", "exclusiveMaximum": 2.5},
    {"type": "number", "multipleOf": 2},
    {"type": "string", "maxLength": 5},
    {"type": "array", "items": {"type": "string"}, "maxItems": 3},
    {"type": "array", "items": {"type": "string"}, "minItems": 2},
    {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
    {"type": "string", "format": "iri"},
    {"type": "string", "not": {"const": "x"}},
]


@pytest.mark.parametrize("bound", BOUNDS)
def test_a_keyword_that_is_not_taken_is_refused_by_name_or_left_out(bound: dict[str, Any]) -> None:
    keyword = next(key for key in reversed(bound) if key not in ("type", "items"))
    request = answering(an_object({"x": bound}))
    assert refused(request) == [("schema_keyword", "/response_format")]
    outcome = dropped(request)
    kept = outcome.body["output_config"]["format"]["schema"]["properties"]["x"]
    assert kept == {key: value for key, value in bound.items() if key != keyword}
    assert keyword in outcome.losses[0].detail
    assert "#/properties/x" in outcome.losses[0].detail


def test_each_keyword_is_told_once() -> None:
    bounded = {"type": "integer", "minimum": 1, "maximum": 2}
    outcome = dropped(answering(an_object({"x": bounded, "y": bounded})))
    assert len(outcome.losses) == 2


def test_properties_that_are_called_like_keywords_stay() -> None:
    schema = an_object({"minimum": {"type": "string"}, "not": {"type": "string"}, "oneOf": {"type": "string"}})
    assert sent(answering(schema)).body["output_config"]["format"]["schema"] == schema


def test_one_of_becomes_any_of() -> None:
    choices = [{"type": "string"}, {"type": "integer", "minimum": 1}]
    outcome = dropped(answering(an_object({"x": {"oneOf": choices}})))
    schema = outcome.body["output_config"]["format"]["schema"]
    assert schema["properties"]["x"] == {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    assert outcome.codes == ["schema_keyword", "schema_keyword"]


def test_a_schema_that_is_nested_too_deeply_is_refused() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(2000):
        schema = {"type": "array", "items": schema}
    assert refused(answering(schema), on_loss=OnLoss.DROP) == [("schema_too_deep", "/response_format")]


def test_plain_json_is_not_known() -> None:
    request = a_request(format=Format(kind=FormatKind.JSON_OBJECT, path="/response_format"))
    assert refused(request) == [("unsupported_field", "/response_format")]
    assert "output_config" not in dropped(request).body
    assert sent(a_request(format=Format(kind=FormatKind.TEXT))).losses == ()


def test_a_model_that_follows_no_schema_is_not_given_one() -> None:
    caps = replace(NEWEST, structured_output=False)
    assert refused(answering(an_object({})), caps) == [("unsupported_field", "/response_format")]
    assert "output_config" not in dropped(answering(an_object({})), caps).body


def test_what_is_told_beside_a_schema_is_a_hint() -> None:
    outcome = sent(answering(an_object({}), description="An empty object"))
    assert [loss.loss_class for loss in outcome.losses] == [LossClass.HINT]
