"""Settings of a request: each is understood, or noted with what it means to lose it."""

from typing import Any

import pytest

from broker.domain.loss import LossClass
from broker.protocols.canonical.request import (
    ChoiceMode,
    Format,
    FormatKind,
    Reasoning,
    Request,
    Sampling,
    Thinking,
    Tool,
    ToolChoice,
    ToolKind,
)
from broker.protocols.losses import MalformedRequest
from broker.protocols.openai_responses.read_request import read_request

SCHEMA = {"type": "object", "properties": {"b": {}, "a": {}}}


def read(**more: Any) -> Request:
    return read_request({"model": "m", "input": "Hi.", **more})


def test_plain_settings_are_read_with_where_they_stand() -> None:
    request = read(
        temperature=0.5,
        top_p=1,
        max_output_tokens=100,
        parallel_tool_calls=False,
        text={"verbosity": "low"},
        include=["message.output_text.logprobs"],
        top_logprobs=3,
        user="u",
        safety_identifier="s",
        metadata={"a": "b"},
        service_tier="flex",
    )
    assert request.sampling == Sampling(temperature=0.5, top_p=1, logprobs=True, top_logprobs=3, verbosity="low")
    assert (request.max_output_tokens, request.parallel_tools, request.n, request.stop) == (100, False, 1, ())
    assert (request.user_id, request.metadata, request.service_tier) == ("s", {"a": "b"}, "flex")
    assert request.unmapped == ()
    assert {name: request.pointer(name) for name in ("temperature", "verbosity", "logprobs", "user_id")} == {
        "temperature": "/temperature",
        "verbosity": "/text/verbosity",
        "logprobs": "/include",
        "user_id": "/safety_identifier",
    }
    assert request.pointer("max_output_tokens") == "/max_output_tokens"


def test_the_deprecated_user_is_read() -> None:
    request = read(user="u")
    assert (request.user_id, request.pointer("user_id")) == ("u", "/user")


def test_null_is_unset() -> None:
    names = "temperature top_p max_output_tokens text reasoning tools tool_choice include metadata user stream store"
    assert read(**dict.fromkeys(names.split())) == read()
    assert read(unheard_of=None) == read()


@pytest.mark.parametrize(("given", "read_as"), [("fast", "priority"), ("priority", "priority"), ("default", "default")])
def test_service_tiers_are_read(given: str, read_as: str) -> None:
    assert read(service_tier=given).service_tier == read_as


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ({"format": {"type": "text"}}, Format(kind=FormatKind.TEXT, path="/text/format")),
        ({"format": {"type": "json_object"}}, Format(kind=FormatKind.JSON_OBJECT, path="/text/format")),
        (
            {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True, "description": "d"}},
            Format(
                kind=FormatKind.JSON_SCHEMA, name="n", schema=SCHEMA, strict=True, description="d", path="/text/format"
            ),
        ),
        ({}, None),
    ],
)
def test_formats_are_read(text: dict[str, Any], expected: Format | None) -> None:
    assert read(text=text).format == expected


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        ({"effort": "none"}, Reasoning(mode=Thinking.OFF, path="/reasoning/effort")),
        ({"effort": "xhigh"}, Reasoning(mode=Thinking.ON, effort="xhigh", path="/reasoning/effort")),
        (
            {"effort": "low", "summary": "detailed"},
            Reasoning(mode=Thinking.ON, effort="low", summary=True, path="/reasoning/effort"),
        ),
        ({"generate_summary": "auto"}, Reasoning(mode=Thinking.AUTO, summary=True, path="/reasoning")),
        ({"effort": None, "summary": None}, None),
        ({}, None),
    ],
)
def test_reasoning_is_read(reasoning: dict[str, Any], expected: Reasoning | None) -> None:
    assert read(reasoning=reasoning).reasoning == expected


def test_tools_are_read() -> None:
    request = read(
        tools=[
            {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA, "strict": True},
            {"type": "function", "name": "g", "parameters": None, "strict": None},
            {"type": "custom", "name": "exec", "description": "runs"},
            {"type": "web_search"},
        ]
    )
    assert request.tools == (
        Tool(name="f", description="d", schema=SCHEMA, strict=True, path="/tools/0"),
        Tool(name="g", path="/tools/1"),
        Tool(name="exec", kind=ToolKind.CUSTOM, description="runs", path="/tools/2"),
        Tool(name="web_search", kind=ToolKind.HOSTED, path="/tools/3"),
    )
    schema = request.tools[0].schema
    assert schema is not None
    assert list(schema["properties"]) == ["b", "a"]  # type: ignore[call-overload]  # in the producer's order


@pytest.mark.parametrize(
    ("choice", "mode", "names"),
    [
        ("auto", ChoiceMode.AUTO, ()),
        ("none", ChoiceMode.NONE, ()),
        ("required", ChoiceMode.REQUIRED, ()),
        ({"type": "function", "name": "f"}, ChoiceMode.REQUIRED, ("f",)),
        ({"type": "custom", "name": "f"}, ChoiceMode.REQUIRED, ("f",)),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
            ChoiceMode.AUTO,
            ("f",),
        ),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "g"}],
            },
            ChoiceMode.REQUIRED,
            ("f", "g"),
        ),
    ],
)
def test_choices_are_read(choice: Any, mode: ChoiceMode, names: tuple[str, ...]) -> None:
    assert read(tool_choice=choice).tool_choice == ToolChoice(mode=mode, names=names, path="/tool_choice")


@pytest.mark.parametrize(
    ("choice", "path", "names"),
    [
        ({"type": "web_search_preview"}, "/tool_choice", None),
        ({"type": "mcp", "server_label": "s"}, "/tool_choice", None),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}, {"type": "mcp"}]},
            "/tool_choice/tools/1",
            ("f",),
        ),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp"}]}, "/tool_choice/tools/0", None),
    ],
)
def test_a_choice_of_a_hosted_tool_is_noted(choice: Any, path: str, names: tuple[str, ...] | None) -> None:
    request = read(tool_choice=choice)
    (lost,) = request.unmapped
    assert (lost.path, lost.code, lost.loss_class, lost.droppable) == (path, "hosted_tool", LossClass.CONTENT, True)
    assert (None if request.tool_choice is None else request.tool_choice.names) == names


@pytest.mark.parametrize(
    ("field", "value", "path", "loss_class"),
    [
        ("store", True, "/store", LossClass.HINT),
        ("store", False, "/store", LossClass.HINT),
        ("prompt_cache_key", "k", "/prompt_cache_key", LossClass.HINT),
        ("prompt_cache_options", {"mode": "explicit"}, "/prompt_cache_options", LossClass.HINT),
        ("prompt_cache_retention", "24h", "/prompt_cache_retention", LossClass.HINT),
        ("truncation", "auto", "/truncation", LossClass.HINT),
        ("service_tier", "scale", "/service_tier", LossClass.HINT),
        ("include", ["reasoning.encrypted_content"], "/include/0", LossClass.HINT),
        ("top_logprobs", 2, "/top_logprobs", LossClass.HINT),
        ("reasoning", {"context": "all_turns"}, "/reasoning/context", LossClass.HINT),
        ("tools", [{"type": "function", "name": "f", "defer_loading": True}], "/tools/0/defer_loading", LossClass.HINT),
        ("max_tool_calls", 3, "/max_tool_calls", LossClass.SAMPLING),
        ("moderation", {"model": "omni"}, "/moderation", LossClass.SAMPLING),
        ("context_management", [{"type": "compaction"}], "/context_management", LossClass.SAMPLING),
        ("reasoning", {"mode": "pro"}, "/reasoning/mode", LossClass.SAMPLING),
        ("unheard_of", 1, "/unheard_of", LossClass.SAMPLING),
        ("a/b~c", 1, "/a~1b~0c", LossClass.SAMPLING),
        ("messages", [], "/messages", LossClass.SAMPLING),
        ("text", {"tone": "low"}, "/text/tone", LossClass.SAMPLING),
        ("text", {"format": {"type": "text", "tone": 1}}, "/text/format/tone", LossClass.SAMPLING),
        ("tools", [{"type": "function", "name": "f", "tone": 1}], "/tools/0/tone", LossClass.SAMPLING),
        ("previous_response_id", "resp_1", "/previous_response_id", LossClass.CONTENT),
        ("conversation", {"id": "conv_1"}, "/conversation", LossClass.CONTENT),
        ("prompt", {"id": "pmpt_1"}, "/prompt", LossClass.CONTENT),
        ("background", True, "/background", LossClass.CONTENT),
        ("stream", True, "/stream", LossClass.CONTENT),
    ],
)
def test_what_has_no_place_is_noted_with_its_class(field: str, value: Any, path: str, loss_class: LossClass) -> None:
    (lost,) = read(**{field: value}).unmapped
    assert (lost.path, lost.loss_class, lost.droppable) == (path, loss_class, False)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("truncation", "disabled"),
        ("background", False),
        ("stream", False),
        ("stream_options", {"include_obfuscation": False}),
        ("top_logprobs", 0),
        ("reasoning", {"mode": "standard"}),
        ("tools", [{"type": "function", "name": "f", "defer_loading": False}]),
    ],
)
def test_defaults_that_are_said_lose_nothing(field: str, value: Any) -> None:
    assert read(**{field: value}).unmapped == ()


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        ("input", 7, "/input"),
        ("input", {"role": "user"}, "/input"),
        ("instructions", ["x"], "/instructions"),
        ("temperature", "1", "/temperature"),
        ("temperature", True, "/temperature"),
        ("max_output_tokens", 1.5, "/max_output_tokens"),
        ("parallel_tool_calls", "no", "/parallel_tool_calls"),
        ("include", "x", "/include"),
        ("include", [1], "/include/0"),
        ("metadata", [], "/metadata"),
        ("user", 7, "/user"),
        ("stream", "yes", "/stream"),
        ("background", 1, "/background"),
        ("service_tier", 1, "/service_tier"),
        ("text", "json", "/text"),
        ("text", {"format": "json"}, "/text/format"),
        ("text", {"format": {"type": "grammar"}}, "/text/format/type"),
        ("text", {"format": {"type": "json_schema", "schema": "{}"}}, "/text/format/schema"),
        ("text", {"verbosity": 1}, "/text/verbosity"),
        ("reasoning", "high", "/reasoning"),
        ("reasoning", {"effort": 1}, "/reasoning/effort"),
        ("tools", {}, "/tools"),
        ("tools", ["web_search"], "/tools/0"),
        ("tools", [{"name": "f"}], "/tools/0/type"),
        ("tools", [{"type": "function", "function": {"name": "f"}}], "/tools/0/name"),
        ("tools", [{"type": "function", "name": "f", "parameters": []}], "/tools/0/parameters"),
        ("tools", [{"type": "function", "name": "f", "strict": "yes"}], "/tools/0/strict"),
        ("tool_choice", "any", "/tool_choice"),
        ("tool_choice", {"type": "function"}, "/tool_choice"),
        ("tool_choice", {"type": "allowed_tools", "mode": "any", "tools": []}, "/tool_choice"),
        (
            "tool_choice",
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function"}]},
            "/tool_choice/tools/0/name",
        ),
    ],
)
def test_a_setting_of_a_wrong_type_is_named(field: str, value: Any, pointer: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        read(**{field: value})
    assert refused.value.pointer == pointer
