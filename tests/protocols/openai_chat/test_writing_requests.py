"""What a chat can say is said, and what it cannot is told."""

from typing import Any

import pytest

from broker.domain.caps import Caps, ThinkingForm
from broker.domain.loss import LossClass
from broker.protocols.canonical.parts import (
    CallPart,
    Inline,
    MediaKind,
    MediaPart,
    PlainText,
    ProviderFile,
    RefusalPart,
    ResultPart,
    TextPart,
    Url,
)
from broker.protocols.canonical.request import (
    ChoiceMode,
    Format,
    FormatKind,
    Reasoning,
    Role,
    Sampling,
    Thinking,
    Tool,
    ToolChoice,
    ToolKind,
)
from tests.protocols.openai_chat.oracle import check_request
from tests.protocols.openai_chat.writing import messages, refused, turn, write

OPEN = {"type": "object", "properties": {"a": {"type": "string"}}}
CLOSED = {**OPEN, "required": ["a"], "additionalProperties": False}
PNG = Inline(mime="image/png", data="AA==")
PDF = Inline(mime="application/pdf", data="AA==")
WAV = Inline(mime="audio/wav", data="AA==")
MARKS = Caps(cache_marks=True)


def image(source: Any = PNG, **more: Any) -> MediaPart:
    return MediaPart(kind=MediaKind.IMAGE, source=source, path="/p", **more)


def document(source: Any = PDF, **more: Any) -> MediaPart:
    return MediaPart(kind=MediaKind.DOCUMENT, source=source, path="/p", **more)


def test_one_text_is_a_string_and_several_are_parts() -> None:
    assert messages(turn(TextPart(text="a"))) == [{"role": "user", "content": "a"}]
    said = messages(turn(TextPart(text="a"), TextPart(text=""), TextPart(text="b")))
    assert said == [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]


def test_a_mark_is_written_where_the_model_takes_it() -> None:
    marked = TextPart(text="a", path="/p", cache="1h")
    body, lost = write(turn(marked, role=Role.USER), system=(marked,), caps=MARKS)
    part = {"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}
    assert [message["content"] for message in body["messages"]] == [[part], [part]]
    assert lost == []
    check_request(body)
    _, lost = write(turn(marked))
    assert lost == [("cache_mark", "/p", LossClass.HINT)]


@pytest.mark.parametrize("missing", ["images", "documents", "audio"])
def test_media_that_the_model_does_not_take_are_refused(missing: str) -> None:
    part = {"images": image(), "documents": document(), "audio": MediaPart(kind=MediaKind.AUDIO, source=WAV, path="/p")}
    body, lost = write(turn(part[missing]))
    assert lost == []
    check_request(body)
    assert refused(part[missing], caps=Caps().amended({missing: False})) == [("unsupported_media", "/p")]


@pytest.mark.parametrize(
    ("part", "code"),
    [
        (image(ProviderFile(reference="x")), "foreign_file"),
        (image(Inline(mime="image/bmp", data="AA==")), "unsupported_media"),
        (document(Url(url="https://e.org/a.pdf")), "unsupported_media"),
        (document(Inline(mime="text/plain", data="////")), "unsupported_media"),
        (MediaPart(kind=MediaKind.VIDEO, source=Inline(mime="video/mp4", data="AA=="), path="/p"), "unsupported_media"),
    ],
)
def test_media_that_no_chat_takes_are_refused(part: MediaPart, code: str) -> None:
    assert refused(part) == [(code, "/p")]


@pytest.mark.parametrize("source", [PlainText(text="The words."), Inline(mime="text/plain", data="VGhlIHdvcmRzLg==")])
def test_a_text_document_becomes_a_text_behind_what_is_told_of_it(source: Any) -> None:
    body, lost = write(turn(document(source, filename="Title", context="Trust it.")))
    assert [part["text"] for part in body["messages"][0]["content"]] == ["Trust it.", "Title\nThe words."]
    assert [(code, loss_class) for code, _, loss_class in lost] == [
        ("document_context", LossClass.SEMANTIC),
        ("document_as_text", LossClass.SEMANTIC),
    ]


def test_details_that_a_chat_has_no_word_for_are_told() -> None:
    body, lost = write(turn(image(detail="original")))
    assert body["messages"][0]["content"][0]["image_url"] == {"url": "data:image/png;base64,AA=="}
    assert lost == [("detail_dropped", "/p", LossClass.HINT)]


def test_operators_say_texts_only() -> None:
    body, _ = write(
        system=(TextPart(text="a"), TextPart(text=""), TextPart(text="b")), caps=Caps(system_role="developer")
    )
    assert body["messages"][:2] == [{"role": "developer", "content": "a"}, {"role": "developer", "content": "b"}]
    assert refused(image(), role=Role.SYSTEM) == [("unsupported_media", "/p")]
    assert refused(TextPart(text="a"), system=(image(),)) == [("unsupported_media", "/p")]


def test_results_stand_before_what_the_user_says_and_media_move_behind_them() -> None:
    call = CallPart(id="c", name="f", arguments={}, arguments_text="")
    result = ResultPart(call_id="c", parts=(TextPart(text="x"), image()), is_error=True, path="/r")
    body, lost = write(turn(call, role=Role.ASSISTANT), turn(result, TextPart(text="And?")))
    assistant, tool, user = body["messages"]
    assert assistant["content"] is None
    assert assistant["tool_calls"] == [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    assert tool == {"role": "tool", "tool_call_id": "c", "content": "x"}
    assert [part["type"] for part in user["content"]] == ["image_url", "text"]
    assert lost == [("media_moved", "/p", LossClass.SEMANTIC), ("is_error_dropped", "/r", LossClass.HINT)]
    check_request(body)


def test_free_text_for_a_custom_tool_becomes_json() -> None:
    call = CallPart(id="c", name="f", arguments=None, arguments_text="print(1)", custom=True, path="/c")
    result = ResultPart(call_id="c", parts=(TextPart(text="1"),))
    body, lost = write(turn(call, role=Role.ASSISTANT), turn(result))
    assert body["messages"][0]["tool_calls"][0]["function"]["arguments"] == '{"_raw":"print(1)"}'
    assert lost == [("custom_tool", "/c", LossClass.CONTENT)]


def test_a_refusal_stays_one() -> None:
    said = messages(turn(RefusalPart(text="No."), role=Role.ASSISTANT), turn(TextPart(text="a")))
    assert said[0] == {"role": "assistant", "content": None, "refusal": "No."}


@pytest.mark.parametrize(
    ("schema", "caps", "strict"),
    [(CLOSED, Caps(), True), (OPEN, Caps(), None), (None, Caps(), True), (CLOSED, Caps(strict_tools=False), None)],
)
def test_strict_is_said_of_closed_schemas_only(schema: Any, caps: Caps, strict: bool | None) -> None:
    body, lost = write(tools=(Tool(name="f", schema=schema, strict=True, path="/f"),), caps=caps)
    assert body["tools"][0]["function"].get("strict") is strict
    assert lost == ([] if strict else [("strict_dropped", "/f", LossClass.HINT)])


def test_a_strict_format_needs_a_closed_schema_too() -> None:
    wanted = Format(kind=FormatKind.JSON_SCHEMA, schema=OPEN, strict=True, path="/f")
    body, lost = write(format=wanted)
    assert body["response_format"] == {"type": "json_schema", "json_schema": {"name": "output", "schema": OPEN}}
    assert lost == [("strict_dropped", "/f", LossClass.HINT)]


@pytest.mark.parametrize(
    ("field", "written"),
    [("structured_outputs", {"json": CLOSED}), ("guided_json", CLOSED)],
)
def test_a_schema_goes_where_the_server_looks_for_it(field: str, written: Any) -> None:
    wanted = Format(kind=FormatKind.JSON_SCHEMA, schema=CLOSED, path="/f")
    body, lost = write(format=wanted, caps=Caps(structured_output_field=field))
    assert (body[field], lost) == (written, [])
    assert "response_format" not in body


@pytest.mark.parametrize("kind", [ToolKind.HOSTED, ToolKind.CUSTOM])
def test_tools_of_others_are_told_and_a_choice_of_nothing_is_none(kind: ToolKind) -> None:
    choice = ToolChoice(mode=ChoiceMode.REQUIRED, path="/choice")
    body, lost = write(tools=(Tool(name="x", kind=kind, path="/t"),), tool_choice=choice)
    assert body.keys() == {"model", "messages"}
    assert lost == [
        (f"{kind}_tool", "/t", LossClass.CONTENT),
        ("choice_without_tools", "/choice", LossClass.SEMANTIC),
    ]


@pytest.mark.parametrize(
    ("reasoning", "caps", "effort", "codes"),
    [
        (Reasoning(mode=Thinking.OFF), {}, "none", []),
        (Reasoning(mode=Thinking.OFF), {"thinking_off": False}, "minimal", ["clamped"]),
        (Reasoning(mode=Thinking.AUTO), {}, None, []),
        (Reasoning(mode=Thinking.AUTO, summary=True), {}, None, ["summary_dropped"]),
        (Reasoning(mode=Thinking.ON, effort="max"), {}, "high", ["clamped"]),
        (Reasoning(mode=Thinking.ON, budget_tokens=2048), {}, "low", ["budget_to_effort"]),
        (Reasoning(mode=Thinking.ON, budget_tokens=9000), {}, "high", ["budget_to_effort"]),
        (Reasoning(mode=Thinking.ON, effort="low"), {"thinking": ThinkingForm.NONE}, None, ["unsupported_field"]),
        (Reasoning(mode=Thinking.OFF), {"thinking": ThinkingForm.NONE}, None, []),
    ],
)
def test_thinking_is_told_as_an_effort(
    reasoning: Reasoning, caps: dict[str, Any], effort: str | None, codes: list[str]
) -> None:
    body, lost = write(reasoning=reasoning, caps=Caps(**{"thinking": ThinkingForm.EFFORT} | caps))
    assert body.get("reasoning_effort") == effort
    assert [code for code, _, _ in lost] == codes


def test_settings_are_written_as_the_facts_say() -> None:
    settings: dict[str, Any] = {
        "max_output_tokens": 5,
        "stop": ("a", "b", "c", "d", "e"),
        "sampling": Sampling(temperature=1.9, top_k=3, seed=1),
        "n": 2,
        "user_id": "u",
        "metadata": {"a": "b"},
        "pointers": {"temperature": "/temperature", "top_k": "/top_k", "stop": "/stop", "n": "/n", "user_id": "/user"},
    }
    caps = Caps(temperature_max=1.5, choices=False, output_limit_field="max_tokens", identity=True)
    body, lost = write(caps=caps, **settings)
    body.pop("messages")
    assert body == {
        "model": "m",
        "max_tokens": 5,
        "temperature": 1.5,
        "seed": 1,
        "stop": ["a", "b", "c", "d"],
        "safety_identifier": "u",
    }
    assert sorted((code, path) for code, path, _ in lost) == [
        ("clamped", "/stop"),
        ("clamped", "/temperature"),
        ("fan_out", "/n"),
        ("unsupported_field", ""),
        ("unsupported_field", "/top_k"),
    ]
