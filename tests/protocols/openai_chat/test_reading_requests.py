"""Every member of a chat request is understood, or named."""

from typing import Any

import pytest

from broker.domain.loss import LossClass
from broker.protocols.canonical.parts import (
    CallPart,
    Inline,
    MediaKind,
    MediaPart,
    OpaquePart,
    ProviderFile,
    ReasoningPart,
    ResultPart,
    TextPart,
    Url,
)
from broker.protocols.canonical.request import ChoiceMode, FormatKind, Reasoning, Role, Thinking, ToolKind
from broker.protocols.losses import MalformedRequest
from broker.protocols.openai_chat.read_request import read_request
from tests.protocols.openai_chat.writing import read, unmapped

USER = {"role": "user", "content": "Hi."}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1.10}'}}
SCHEMA = {"type": "object", "properties": {}}


def of_user(*parts: Any) -> Any:
    return read({"role": "user", "content": list(parts)}).turns[0].parts


def test_operators_speak_before_the_conversation_or_within_it() -> None:
    request = read(
        {"role": "system", "content": "One."},
        {"role": "developer", "content": [{"type": "text", "text": "Two."}]},
        USER,
        {"role": "system", "content": "Three."},
    )
    assert [part.text for part in request.system if isinstance(part, TextPart)] == ["One.", "Two."]
    assert [part.path for part in request.system] == ["/messages/0/content", "/messages/1/content/0"]
    assert [turn.role for turn in request.turns] == [Role.USER, Role.SYSTEM]


def test_parts_are_read_with_their_places() -> None:
    text, image, inline, sound, pdf, uploaded = of_user(
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "https://e.org/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/PNG;base64,AA=="}},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}},
        {"type": "file", "file": {"file_id": "file-1"}},
    )
    at = "/messages/0/content"
    assert text == TextPart(text="a", path=f"{at}/0")
    url = Url(url="https://e.org/a.png")
    assert image == MediaPart(kind=MediaKind.IMAGE, source=url, detail="low", path=f"{at}/1")
    assert inline.source == Inline(mime="image/png", data="AA==")
    assert (sound.kind, sound.source) == (MediaKind.AUDIO, Inline(mime="audio/mpeg", data="AA=="))
    assert (pdf.kind, pdf.source, pdf.filename) == (
        MediaKind.DOCUMENT,
        Inline(mime="application/pdf", data="AA=="),
        "a.pdf",
    )
    assert uploaded.source == ProviderFile(reference="file-1")


@pytest.mark.parametrize(
    ("mark", "cache"),
    [
        ({}, None),
        ({"prompt_cache_breakpoint": {"mode": "explicit"}}, ""),
        ({"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}, "1h"),
        ({"cache_control": {"type": "ephemeral"}}, ""),
        ({"cache_control": {"type": "ephemeral", "ttl": "1h"}}, "1h"),
        ({"cache_control": None}, None),
    ],
)
def test_cache_marks_are_read(mark: dict[str, Any], cache: str | None) -> None:
    (part,) = of_user({"type": "text", "text": "a"} | mark)
    assert part.cache == cache


def test_calls_and_results_are_read() -> None:
    request = read(
        USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "x"}]},
    )
    (call,) = request.turns[1].parts
    (result,) = request.turns[2].parts
    assert isinstance(call, CallPart)
    assert (call.id, call.name, call.arguments_text, call.path) == (
        "c",
        "f",
        '{"a": 1.10}',
        "/messages/1/tool_calls/0",
    )
    assert isinstance(result, ResultPart)
    assert (result.call_id, request.turns[2].role) == ("c", Role.USER)


def test_deprecated_calls_get_ids_by_their_places() -> None:
    request = read(
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "2"},
    )
    ids = [
        part.id if isinstance(part, CallPart) else part.call_id
        for turn in request.turns
        for part in turn.parts
        if isinstance(part, CallPart | ResultPart)
    ]
    assert ids == ["call_1", "call_1", "call_3", "call_3"]


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
def test_thoughts_are_no_text(key: str) -> None:
    request = read(USER, {"role": "assistant", "content": "4", key: "2 + 2"})
    thought, text = request.turns[1].parts
    assert thought == ReasoningPart(text="2 + 2", path=f"/messages/1/{key}")
    assert isinstance(text, TextPart)


def test_a_part_of_the_future_is_opaque() -> None:
    (part,) = of_user({"type": "video_url", "video_url": {"url": "https://e.org/a.mp4"}})
    assert isinstance(part, OpaquePart)
    assert part.kind == "video_url"


@pytest.mark.parametrize(
    ("more", "reasoning"),
    [
        ({"reasoning_effort": "low"}, Reasoning(mode=Thinking.ON, effort="low", path="/reasoning_effort")),
        ({"reasoning_effort": "none"}, Reasoning(mode=Thinking.OFF, path="/reasoning_effort")),
        (
            {"reasoning": {"effort": "high", "exclude": True}},
            Reasoning(mode=Thinking.ON, effort="high", summary=False, path="/reasoning/effort"),
        ),
        (
            {"reasoning": {"max_tokens": 2000}},
            Reasoning(mode=Thinking.ON, budget_tokens=2000, path="/reasoning/max_tokens"),
        ),
        ({"reasoning": {"enabled": True}}, Reasoning(mode=Thinking.AUTO, path="/reasoning")),
        ({"reasoning": {"enabled": False, "effort": "high"}}, Reasoning(mode=Thinking.OFF, path="/reasoning")),
        ({"reasoning": {"effort": "none"}}, Reasoning(mode=Thinking.OFF, path="/reasoning/effort")),
        ({"thinking": {"type": "disabled"}}, Reasoning(mode=Thinking.OFF, path="/thinking")),
        ({"thinking": {"type": "enabled"}}, Reasoning(mode=Thinking.AUTO, path="/thinking")),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 9}},
            Reasoning(mode=Thinking.ON, budget_tokens=9, path="/thinking"),
        ),
        (
            {"thinking": {"type": "enabled"}, "reasoning_effort": "max"},
            Reasoning(mode=Thinking.ON, effort="max", path="/reasoning_effort"),
        ),
        ({"reasoning": None, "thinking": None, "reasoning_effort": None}, None),
    ],
)
def test_how_much_to_think_is_read_in_the_words_of_three_vendors(
    more: dict[str, Any], reasoning: Reasoning | None
) -> None:
    request = read(**more)
    assert request.reasoning == reasoning
    assert request.unmapped == ()


@pytest.mark.parametrize(
    ("more", "path"),
    [
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
            "/response_format",
        ),
        ({"structured_outputs": {"json": SCHEMA}}, "/structured_outputs/json"),
        ({"guided_json": SCHEMA}, "/guided_json"),
        ({"response_format": {"type": "text"}, "guided_json": SCHEMA}, "/guided_json"),
    ],
)
def test_a_schema_is_read_in_the_words_of_two_servers(more: dict[str, Any], path: str) -> None:
    request = read(**more)
    assert request.format is not None
    assert (request.format.kind, request.format.schema, request.format.path) == (FormatKind.JSON_SCHEMA, SCHEMA, path)
    assert request.unmapped == ()


@pytest.mark.parametrize(
    ("more", "paths"),
    [
        ({"guided_choice": ["a"]}, ["/guided_choice"]),
        ({"structured_outputs": {"regex": "a"}}, ["/structured_outputs/regex"]),
        ({"structured_outputs": "a"}, ["/structured_outputs"]),
        ({"guided_json": "a"}, ["/guided_json"]),
        ({"response_format": {"type": "json_object"}, "guided_json": SCHEMA}, ["/guided_json"]),
        ({"reasoning": {"new": 1}}, ["/reasoning/new"]),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "new": 1}, "x/y~": 2}]},
            ["/tools/0/x~1y~0", "/tools/0/function/new"],
        ),
        ({"new": 0, "newer": None}, ["/new"]),
    ],
)
def test_what_nobody_knows_is_named(more: dict[str, Any], paths: list[str]) -> None:
    assert unmapped(**more) == [("unknown_field", path, LossClass.SAMPLING) for path in paths]


@pytest.mark.parametrize(
    ("message", "lost"),
    [
        ({"role": "user", "content": "a", "new": 1}, ("unknown_field", "/messages/0/new", LossClass.SAMPLING)),
        (
            {"role": "user", "content": [{"type": "text", "text": "a", "new": 1}]},
            ("unknown_field", "/messages/0/content/0/new", LossClass.SAMPLING),
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://e.org", "new": 1}}]},
            ("unknown_field", "/messages/0/content/0/image_url/new", LossClass.SAMPLING),
        ),
        ({"role": "user", "name": "a", "content": "a"}, ("unsupported_field", "/messages/0/name", LossClass.SAMPLING)),
        (
            {"role": "assistant", "content": "a", "annotations": [{"type": "url_citation"}]},
            ("unsupported_field", "/messages/0/annotations", LossClass.HINT),
        ),
        ({"role": "assistant", "audio": {"id": "a"}}, ("foreign_file", "/messages/0/audio", LossClass.CONTENT)),
        (
            {"role": "system", "content": [{"type": "refusal", "refusal": "no"}]},
            ("unsupported_part", "/messages/0/content/0", LossClass.CONTENT),
        ),
        (
            {"role": "tool", "tool_call_id": "c", "content": [{"type": "new"}]},
            ("unsupported_part", "/messages/0/content/0", LossClass.CONTENT),
        ),
    ],
)
def test_what_a_message_says_beside_its_words_is_named(message: dict[str, Any], lost: Any) -> None:
    assert unmapped(message) == [lost]


@pytest.mark.parametrize(
    ("more", "code", "loss_class"),
    [
        ({"store": True}, "unsupported_field", LossClass.HINT),
        ({"prompt_cache_key": "k"}, "unsupported_field", LossClass.HINT),
        ({"stream": True}, "unsupported_field", LossClass.CONTENT),
        ({"modalities": ["text", "audio"]}, "unsupported_field", LossClass.CONTENT),
        ({"audio": {"voice": "alloy"}}, "unsupported_field", LossClass.CONTENT),
        ({"web_search_options": {}}, "hosted_tool", LossClass.CONTENT),
    ],
)
def test_what_has_no_place_elsewhere_is_named(more: dict[str, Any], code: str, loss_class: LossClass) -> None:
    (path,) = (f"/{name}" for name in more)
    assert unmapped(**more) == [(code, path, loss_class)]


@pytest.mark.parametrize("more", [{"stream": False}, {"modalities": ["text"]}, {"stream_options": None}])
def test_what_changes_nothing_is_no_loss(more: dict[str, Any]) -> None:
    assert unmapped(**more) == []


def test_words_of_mistral_are_understood() -> None:
    request = read(
        random_seed=7, tool_choice="any", tools=[{"type": "function", "function": {"name": "f"}}], max_tokens=5
    )
    assert request.sampling.seed == 7
    assert request.pointer("seed") == "/random_seed"
    assert request.tool_choice is not None
    assert request.tool_choice.mode is ChoiceMode.REQUIRED
    assert (request.max_output_tokens, request.pointer("max_output_tokens")) == (5, "/max_tokens")


def test_the_newer_of_two_spellings_counts() -> None:
    request = read(max_tokens=5, max_completion_tokens=6, user="old", safety_identifier="new", seed=1, random_seed=2)
    assert (request.max_output_tokens, request.user_id, request.sampling.seed) == (6, "new", 1)
    assert request.pointer("max_output_tokens") == "/max_completion_tokens"
    assert request.pointer("seed") == "/seed"


def test_kinds_of_tools_are_told_apart() -> None:
    request = read(
        tools=[
            {"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": True}},
            {"type": "custom", "custom": {"name": "g"}},
            {"type": "web_search"},
        ],
        functions=[{"name": "h"}],
    )
    assert [(tool.name, tool.kind) for tool in request.tools] == [
        ("f", ToolKind.FUNCTION),
        ("g", ToolKind.CUSTOM),
        ("web_search", ToolKind.HOSTED),
        ("h", ToolKind.FUNCTION),
    ]
    assert request.tools[0].schema is SCHEMA


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"messages": None}, "/messages"),
        ({"messages": []}, "/messages"),
        ({"messages": {}}, "/messages"),
        ({"messages": ["a"]}, "/messages/0"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "/messages/0/role"),
        ({"messages": [{"role": "user", "content": 1}]}, "/messages/0/content"),
        ({"messages": [{"role": "user", "content": [1]}]}, "/messages/0/content/0"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "/messages/0/content/0/type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "/messages/0/content/0/text"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "/messages/0/content/0/image_url"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "ftp://e"}}]}]},
            "/messages/0/content/0/image_url/url",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": "AA"}}]}]},
            "/messages/0/content/0/file/file_data",
        ),
        ({"messages": [{"role": "tool", "content": "a"}]}, "/messages/0/tool_call_id"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]}, "/messages/0/tool_calls/0/function"),
        ({"messages": [USER], "temperature": "hot"}, "/temperature"),
        ({"messages": [USER], "n": 0}, "/n"),
        ({"messages": [USER], "n": 129}, "/n"),
        ({"messages": [USER], "stop": 1}, "/stop"),
        ({"messages": [USER], "stop": ["a", 1]}, "/stop/1"),
        ({"messages": [USER], "response_format": {"type": "xml"}}, "/response_format/type"),
        ({"messages": [USER], "response_format": {"type": "json_schema"}}, "/response_format/json_schema"),
        ({"messages": [USER], "tool_choice": "maybe"}, "/tool_choice"),
        ({"messages": [USER], "tools": [{"type": "function"}]}, "/tools/0/function"),
        ({"messages": [USER], "thinking": {"type": "much"}}, "/thinking/type"),
        ({"messages": [USER], "reasoning": "much"}, "/reasoning"),
    ],
)
def test_what_is_no_request_is_refused_by_its_place(body: dict[str, Any], pointer: str) -> None:
    with pytest.raises(MalformedRequest) as told:
        read_request({"model": "m", **body})
    assert told.value.pointer == pointer
    assert told.value.why
