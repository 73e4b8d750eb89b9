"""What is understood of a conversation: speakers, parts, and which response belongs to which call."""

from typing import Any

import pytest

from broker.protocols.canonical.parts import (
    CallPart,
    Inline,
    MediaKind,
    MediaPart,
    OpaquePart,
    PlainText,
    ProviderFile,
    ReasoningPart,
    ResultPart,
    TextPart,
    Url,
)
from broker.protocols.canonical.request import Role
from broker.protocols.losses import MalformedRequest
from tests.protocols.gemini_generate_content.asking import Body, read


def contents(*parts: Any, role: str = "user") -> Body:
    return {"contents": [{"role": role, "parts": list(parts)}]}


def test_roles() -> None:
    request = read(
        {
            "contents": [
                {"parts": [{"text": "a"}]},
                *(contents({"text": "b"}, role=role)["contents"][0] for role in ("model", "function", "user")),
            ]
        }
    )
    assert [turn.role for turn in request.turns] == [Role.USER, Role.ASSISTANT, Role.USER, Role.USER]


def test_a_list_of_one_may_be_the_element_itself() -> None:
    request = read({"contents": {"parts": {"text": "Hi"}}, "systemInstruction": {"parts": {"text": "Be brief."}}})
    assert request.turns[0].parts == (TextPart(text="Hi", path="/contents/parts"),)
    assert request.system == (TextPart(text="Be brief.", path="/systemInstruction/parts"),)


def test_thoughts_are_no_text() -> None:
    parts = (
        read(
            contents(
                {"text": "Hm.", "thought": True, "thoughtSignature": "s"},
                {"text": "4", "thoughtSignature": "t"},
                role="model",
            )
        )
        .turns[0]
        .parts
    )
    assert parts == (
        ReasoningPart(text="Hm.", signature="s", path="/contents/0/parts/0"),
        TextPart(text="4", path="/contents/0/parts/1"),
        ReasoningPart(signature="t", path="/contents/0/parts/1"),
    )


@pytest.mark.parametrize(
    ("part", "kind", "source"),
    [
        (
            {"inlineData": {"mimeType": "image/PNG", "data": "AAAA"}},
            MediaKind.IMAGE,
            Inline(mime="image/png", data="AAAA"),
        ),
        (
            {"inlineData": {"mimeType": "audio/mp3", "data": "-_8"}},
            MediaKind.AUDIO,
            Inline(mime="audio/mpeg", data="+/8="),
        ),
        ({"inlineData": {"mimeType": "text/plain", "data": "w6Q="}}, MediaKind.DOCUMENT, PlainText(text="ä")),
        (
            {"inlineData": {"mimeType": "text/plain", "data": "/w=="}},
            MediaKind.DOCUMENT,
            Inline(mime="text/plain", data="/w=="),
        ),
        (
            {"fileData": {"fileUri": "https://a.org/x.pdf?y=1"}},
            MediaKind.DOCUMENT,
            Url(url="https://a.org/x.pdf?y=1", mime="application/pdf"),
        ),
        (
            {"fileData": {"fileUri": "https://a.org/x", "mimeType": "image/webp"}},
            MediaKind.IMAGE,
            Url(url="https://a.org/x", mime="image/webp"),
        ),
        ({"fileData": {"fileUri": "https://youtu.be/x"}}, MediaKind.VIDEO, Url(url="https://youtu.be/x")),
        (
            {"fileData": {"fileUri": "files/abc", "mimeType": "image/png"}},
            MediaKind.IMAGE,
            ProviderFile(reference="files/abc"),
        ),
        (
            {"fileData": {"fileUri": "gs://bucket/x", "mimeType": "video/mp4"}},
            MediaKind.VIDEO,
            ProviderFile(reference="gs://bucket/x"),
        ),
    ],
)
def test_media(part: Body, kind: MediaKind, source: object) -> None:
    (found,) = read(contents(part)).turns[0].parts
    assert isinstance(found, MediaPart)
    assert (found.kind, found.source) == (kind, source)


def test_calls_without_ids_get_some_and_responses_find_theirs_by_name_and_order() -> None:
    request = read(
        {
            "contents": [
                {"role": "user", "parts": [{"text": "Go"}]},
                {"role": "model", "parts": [{"functionCall": {"name": name}} for name in ("a", "b", "a")]},
                {"role": "user", "parts": [{"functionResponse": {"name": name}} for name in ("a", "a", "b")]},
            ]
        }
    )
    calls = [part.id for part in request.turns[1].parts if isinstance(part, CallPart)]
    results = [part.call_id for part in request.turns[2].parts if isinstance(part, ResultPart)]
    assert calls == ["call_1_0", "call_1_1", "call_1_2"]
    assert results == ["call_1_0", "call_1_2", "call_1_1"]


def test_ids_beat_order() -> None:
    request = read(
        {
            "contents": [
                {
                    "role": "model",
                    "parts": [{"functionCall": {"name": "f", "id": each}} for each in "xy"]
                    + [{"functionCall": {"name": "f"}}],
                },
                {
                    "role": "user",
                    "parts": [
                        {"functionResponse": {"name": "f"}},
                        {"functionResponse": {"name": "f", "id": "y"}},
                        {"functionResponse": {"name": "f", "id": "x"}},
                    ],
                },
            ]
        }
    )
    assert [part.call_id for part in request.turns[1].parts if isinstance(part, ResultPart)] == ["call_0_2", "y", "x"]


def test_a_new_id_is_nobody_elses() -> None:
    request = read(
        contents({"functionCall": {"name": "f"}}, {"functionCall": {"name": "f", "id": "call_0_0"}}, role="model")
    )
    first, second = (part.id for part in request.turns[0].parts if isinstance(part, CallPart))
    assert second == "call_0_0"
    assert first != second


@pytest.mark.parametrize(
    ("response", "text", "is_error", "value"),
    [
        ({"output": "ok"}, "ok", False, None),
        ({"error": "no"}, "no", True, None),
        ({"output": {"a": 1}}, '{"a":1}', False, {"a": 1}),
        ({"error": {"code": 5}}, '{"code":5}', True, {"code": 5}),
        ({"output": 1, "error": None}, '{"output":1,"error":null}', False, {"output": 1, "error": None}),
        ({"t": [1.5]}, '{"t":[1.5]}', False, {"t": [1.5]}),
        ({"output": [1]}, "[1]", False, None),
        ({}, "", False, None),
    ],
)
def test_responses(response: Body, text: str, is_error: bool, value: object) -> None:
    call = {"role": "model", "parts": [{"functionCall": {"name": "f", "id": "1"}}]}
    answer = {"role": "user", "parts": [{"functionResponse": {"name": "f", "id": "1", "response": response}}]}
    (part,) = read({"contents": [call, answer]}).turns[1].parts
    assert isinstance(part, ResultPart)
    assert "".join(each.text for each in part.parts if isinstance(each, TextPart)) == text
    assert (part.is_error, part.value) == (is_error, value)


def test_blocks_that_only_google_understands_are_opaque() -> None:
    parts = read(
        contents({"executableCode": {"code": "1"}}, {"blockOfTomorrow": {}, "thoughtSignature": "s"}, role="model")
    )
    assert [part.kind for part in parts.turns[0].parts if isinstance(part, OpaquePart)] == [
        "executableCode",
        "blockOfTomorrow",
    ]


def test_a_seal_on_an_image_is_told() -> None:
    part = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "thoughtSignature": "s", "tomorrow": None}
    parts = read(contents(part, role="model")).turns[0].parts
    assert [type(each) for each in parts] == [MediaPart, ReasoningPart]


def test_a_part_with_nulls_only_is_none() -> None:
    with pytest.raises(MalformedRequest):
        read(contents({"tomorrow": None, "text": None}))
