"""Tools, the choice among them, and the two forms of their schemas."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.protocols.canonical.parts import TextPart
from broker.protocols.canonical.request import ChoiceMode, Request, Role, Tool, ToolChoice, ToolKind, Turn
from broker.protocols.gemini_generate_content import CODEC
from broker.protocols.gemini_generate_content.openapi import openapi, unheeded
from broker.protocols.gemini_generate_content.schema import json_schema
from broker.protocols.losses import MalformedRequest
from tests.protocols.gemini_generate_content import oracle
from tests.protocols.gemini_generate_content.asking import HELLO, Body, lost, read, refused, write

USER = Turn(role=Role.USER, parts=(TextPart(text="Hello"),), path="/0")
F, G = Tool(name="f", path="/f"), Tool(name="g", path="/g")
OLD = replace(CODEC.caps, schema_field="responseSchema")


def asking(*tools: Tool, **more: Any) -> Request:
    return Request(turns=(USER,), tools=tools, **more)


def choice_of(config: Body) -> tuple[ChoiceMode, tuple[str, ...]] | None:
    found = read({**HELLO, "toolConfig": {"functionCallingConfig": config}}).tool_choice
    return None if found is None else (found.mode, found.names)


@pytest.mark.parametrize(
    ("config", "choice"),
    [
        ({"mode": "AUTO"}, (ChoiceMode.AUTO, ())),
        ({"mode": "none"}, (ChoiceMode.NONE, ())),
        ({"mode": "Any"}, (ChoiceMode.REQUIRED, ())),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, (ChoiceMode.REQUIRED, ("f",))),
        ({"mode": "VALIDATED", "allowed_function_names": ["f", "g"]}, (ChoiceMode.AUTO, ("f", "g"))),
        ({"mode": "MODE_UNSPECIFIED"}, None),
        ({}, None),
    ],
)
def test_choices_are_read(config: Body, choice: object) -> None:
    assert choice_of(config) == choice


@pytest.mark.parametrize(
    ("choice", "calling"),
    [
        (ToolChoice(mode=ChoiceMode.AUTO), None),
        (ToolChoice(mode=ChoiceMode.NONE), {"mode": "NONE"}),
        (ToolChoice(mode=ChoiceMode.REQUIRED), {"mode": "ANY"}),
        (ToolChoice(mode=ChoiceMode.REQUIRED, names=("g",)), {"mode": "ANY", "allowedFunctionNames": ["g"]}),
        (ToolChoice(mode=ChoiceMode.AUTO, names=("f", "g")), {"mode": "VALIDATED", "allowedFunctionNames": ["f", "g"]}),
    ],
)
def test_choices_are_written(choice: ToolChoice, calling: Body | None) -> None:
    sent, losses = write(asking(F, G, tool_choice=choice))
    assert sent.body.get("toolConfig") == (calling and {"functionCallingConfig": calling})
    assert losses == []
    oracle.check_request(sent.body, sent.path)


def test_no_choice_without_tools() -> None:
    sent, losses = write(asking(tool_choice=ToolChoice(mode=ChoiceMode.REQUIRED, path="/c")))
    assert "toolConfig" not in sent.body
    assert losses == [("choice_without_tools", "semantic", "/c")]


def test_a_choice_of_a_tool_that_is_not_there_is_a_loss() -> None:
    choice = ToolChoice(mode=ChoiceMode.REQUIRED, names=("gone",), path="/c")
    sent, losses = write(asking(F, tool_choice=choice))
    assert "toolConfig" not in sent.body
    assert losses == [("choice_of_no_tool", "sampling", "/c")]


def test_calls_one_by_one_cannot_be_asked_for() -> None:
    pointers = {"parallel_tools": "/p"}
    assert refused(asking(F, parallel_tools=False, pointers=pointers)) == [("unsupported_field", "sampling", "/p")]
    assert refused(asking(F, parallel_tools=True)) == refused(asking(parallel_tools=False)) == []


def test_tools_are_written_into_one_object() -> None:
    sent, losses = write(asking(replace(F, description="d", schema={"type": "object"}), G))
    assert sent.body["tools"] == [
        {
            "functionDeclarations": [
                {"name": "f", "description": "d", "parametersJsonSchema": {"type": "object"}},
                {"name": "g"},
            ]
        }
    ]
    assert losses == []


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({}, {"type": "object"}),
        ({"properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}),
        ({"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}),
    ],
)
def test_arguments_are_said_to_be_an_object(schema: Body, told: Body) -> None:
    sent, losses = write(asking(replace(F, schema=schema)))
    assert losses == []
    assert sent.body["tools"] == [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": told}]}]


def test_tools_that_are_not_the_producers_are_refused() -> None:
    hosted = Tool(name="web_search", kind=ToolKind.HOSTED, path="/w")
    custom = Tool(name="c", kind=ToolKind.CUSTOM, path="/c")
    assert refused(asking(hosted, custom)) == [("hosted_tool", "content", "/w"), ("custom_tool", "content", "/c")]
    sent, losses = write(asking(hosted, F, custom))
    assert sent.body["tools"] == [{"functionDeclarations": [{"name": "f"}]}]
    assert len(losses) == 2


def test_strict_is_a_hint() -> None:
    assert write(asking(replace(F, strict=True, schema={})))[1] == [("strict_dropped", "hint", "/f")]
    assert write(asking(replace(F, strict=False, schema={})))[1] == []


def test_googles_own_tools_are_hosted() -> None:
    request = read(
        {**HELLO, "tools": [{"google_search": {}, "functionDeclarations": [{"name": "f"}]}, {"urlContext": {}}]}
    )
    assert [(tool.name, tool.kind, tool.path) for tool in request.tools] == [
        ("f", ToolKind.FUNCTION, "/tools/0/functionDeclarations/0"),
        ("googleSearch", ToolKind.HOSTED, "/tools/0/google_search"),
        ("urlContext", ToolKind.HOSTED, "/tools/1/urlContext"),
    ]
    assert lost(request) == []


@pytest.mark.parametrize("name", ["a.b:c", "_x", "a" * 64, "f-1"])
def test_names_that_gemini_takes_stay(name: str) -> None:
    assert write(asking(Tool(name=name)))[0].body["tools"][0]["functionDeclarations"][0]["name"] == name


@pytest.mark.parametrize("name", ["9lives", "a b", "a" * 65, "später", "-a"])
def test_other_names_are_mapped(name: str) -> None:
    sent, losses = write(asking(Tool(name=name, path="/t")))
    assert sent.body["tools"][0]["functionDeclarations"][0]["name"] != name
    assert losses == [("tool_renamed", "semantic", "/t")]


SUBSET: Body = {
    "type": "OBJECT",
    "description": "d",
    "nullable": True,
    "properties": {
        "any_name": {"type": "STRING", "enum": ["a"], "nullable": True},
        "nullable": {"type": "BOOLEAN"},
        "list": {"type": "ARRAY", "items": {"type": "INTEGER", "format": "int64"}, "min_items": "1", "maxItems": 3},
        "either": {"any_of": [{"type": "NUMBER"}, {"type": "STRING"}], "nullable": True},
        "odd": {"type": "TYPE_UNSPECIFIED", "nullable": False},
    },
    "required": ["list"],
    "property_ordering": ["list", "any_name"],
    "additionalProperties": {"type": "STRING"},
}
AS_JSON_SCHEMA: Body = {
    "type": ["object", "null"],
    "description": "d",
    "properties": {
        "any_name": {"type": ["string", "null"], "enum": ["a", None]},
        "nullable": {"type": "boolean"},
        "list": {"type": "array", "items": {"type": "integer", "format": "int64"}, "minItems": 1, "maxItems": 3},
        "either": {"anyOf": [{"type": "number"}, {"type": "string"}, {"type": "null"}]},
        "odd": {},
    },
    "required": ["list"],
    "additionalProperties": {"type": "string"},
}


def test_a_subset_of_openapi_becomes_json_schema() -> None:
    assert json_schema(SUBSET, "") == AS_JSON_SCHEMA
    assert list(json_schema(SUBSET, "")) == list(AS_JSON_SCHEMA), "in its own order"


def test_json_schema_becomes_a_subset_of_openapi() -> None:
    wanted = {
        "$schema": "x",
        "type": ["object", "null"],
        "properties": {
            "a": {"type": ["string", "null"], "enum": ["x", None]},
            "b": {"oneOf": [{"type": "integer"}, {"type": "null"}]},
            "c": {"type": ["string", "integer"]},
            "d": {"type": "array", "items": {"type": "object", "properties": {}}, "maxItems": 2},
        },
        "required": ["a"],
        "additionalProperties": False,
    }
    lost_words: set[str] = set()
    assert openapi(wanted, lost_words) == {
        "type": "OBJECT",
        "nullable": True,
        "properties": {
            "a": {"type": "STRING", "nullable": True, "enum": ["x"]},
            "b": {"anyOf": [{"type": "INTEGER"}, {"type": "NULL"}]},
            "c": {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]},
            "d": {"type": "ARRAY", "items": {"type": "OBJECT"}, "maxItems": 2},
        },
        "required": ["a"],
    }
    assert lost_words == set()


def test_what_the_subset_cannot_say_is_named() -> None:
    lost_words: set[str] = set()
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {}}, "const": 1, "enum": [1, 2], "properties": {"x": {"not": {}}}}
    assert openapi(schema, lost_words) == {"properties": {"x": {}}}
    assert lost_words == {"$ref", "$defs", "const", "enum", "not"}


def test_old_models_get_the_subset() -> None:
    tool = replace(F, schema={"type": "object", "properties": {"a": {"type": "string", "const": "x"}}})
    sent, losses = write(asking(tool, replace(G, schema={"type": "object", "properties": {}})), caps=OLD)
    assert sent.body["tools"][0]["functionDeclarations"] == [
        {"name": "f", "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}},
        {"name": "g"},
    ]
    assert losses == [("schema_keyword", "sampling", "/f")]
    oracle.check_request(sent.body, sent.path)


def test_names_of_properties_are_no_keywords() -> None:
    assert unheeded({"properties": {"pattern": {"type": "string"}, "not": {"const": 1}}, "enum": [{"if": 1}]}) == {
        "const"
    }
    assert unheeded({"default": {"pattern": "x"}, "const": {"not": 1}}) == {"const"}
    assert unheeded({"$ref": "#", "description": "d"}) == {"$ref with siblings"}
    assert unheeded({"$ref": "#", "$comment": "d", "$defs": {"a": {"anyOf": [{"items": {"allOf": []}}]}}}) == {"allOf"}


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"type": "TEXT"}, "/type"),
        ({"type": 5}, "/type"),
        ({"properties": []}, "/properties"),
        ({"properties": {"a/b": 1}}, "/properties/a~1b"),
        ({"items": []}, "/items"),
        ({"anyOf": {}}, "/anyOf"),
        ({"minItems": "many"}, "/minItems"),
    ],
)
def test_what_is_no_schema_is_refused(schema: Body, pointer: str) -> None:
    with pytest.raises(MalformedRequest) as found:
        json_schema(schema, "")
    assert found.value.pointer == pointer


def test_a_schema_without_end_is_refused_and_not_followed() -> None:
    deep: Body = {}
    for _ in range(5000):
        deep = {"items": deep}
    with pytest.raises(MalformedRequest):
        json_schema(deep, "")
    lost_words: set[str] = set()
    openapi(deep, lost_words)
    assert lost_words == {"nesting"}
    assert unheeded(deep) == set()


TYPES = st.sampled_from(["STRING", "INTEGER", "NUMBER", "BOOLEAN"])
SCHEMAS: st.SearchStrategy[Body] = st.recursive(
    st.fixed_dictionaries({"type": TYPES}, optional={"nullable": st.just(value=True), "description": st.text()}),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"type": st.just("ARRAY"), "items": inner}),
        st.fixed_dictionaries(
            {"type": st.just("OBJECT"), "properties": st.dictionaries(st.text(min_size=1), inner, min_size=1)}
        ),
    ),
)


@given(SCHEMAS)
def test_from_the_subset_and_back_nothing_is_lost(schema: Body) -> None:
    lost_words: set[str] = set()
    assert openapi(json_schema(schema, ""), lost_words) == schema
    assert lost_words == set()
