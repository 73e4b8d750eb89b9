"""What is written for Gemini, judged by the types of Google's SDK."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.domain.caps import Caps, ThinkingForm
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
    EmbeddingRequest,
    Request,
    Role,
    Turn,
)
from broker.protocols.gemini_generate_content import CODEC
from tests.protocols.gemini_generate_content import oracle
from tests.protocols.gemini_generate_content.asking import read, refused, write

GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "gemini-generateContent").glob("*.json"))
USER = Turn(role=Role.USER, parts=(TextPart(text="Hello", path="/u"),), path="/0")
HELLO = Request(turns=(USER,))
BUDGET = Caps(thinking=ThinkingForm.BUDGET, mid_system=False)


def said(*parts: Any, role: Role = Role.USER) -> Turn:
    return Turn(role=role, parts=parts, path="/1")


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in GOLDEN])
def test_what_was_read_can_be_written(path: Path) -> None:
    body = json.loads(path.read_text("utf-8"))["body"]
    request = CODEC.read_request(body)
    if isinstance(request, EmbeddingRequest):
        return
    written, _ = write(request)
    oracle.check_request(written.body, written.path)


def test_the_least_is_written() -> None:
    written, losses = write(HELLO)
    assert written.body == {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
    assert written.path == "/v1beta/models/gemini-3-flash:generateContent"
    assert (written.fan_out, losses) == (1, [])


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("models/gemini-3-pro", "/v1beta/models/gemini-3-pro:generateContent"),
        ("tunedModels/mine", "/v1beta/tunedModels/mine:generateContent"),
        ("publishers/google/models/gemini-3-pro", "/v1beta/publishers/google/models/gemini-3-pro:generateContent"),
        ("a b?ü#", "/v1beta/models/a%20b%3F%C3%BC%23:generateContent"),
    ],
)
def test_models_stand_in_the_path(model: str, path: str) -> None:
    assert write(HELLO, model=model)[0].path == path
    assert CODEC.path(model, {"contents": []}) == path


def test_shapes_of_bodies_have_paths_of_their_own() -> None:
    assert CODEC.path("m", {"content": {}}) == "/v1beta/models/m:embedContent"
    assert CODEC.path("m", {"requests": []}) == "/v1beta/models/m:batchEmbedContents"


def test_operators_are_heard_before_the_conversation_only() -> None:
    late = Turn(role=Role.SYSTEM, parts=(TextPart(text="Be kind."),), path="/2")
    request = Request(turns=(USER, late, USER), system=(TextPart(text="Be brief."), TextPart(text="")))
    for caps in (CODEC.caps, replace(CODEC.caps, mid_system=True)):
        written, losses = write(request, caps=caps)
        assert written.body["systemInstruction"] == {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]}
        assert ("system_moved", "semantic", "/2") in losses


def test_calls_keep_ids_and_seals_and_responses_their_order() -> None:
    calls = said(
        TextPart(text="I look."),
        CallPart(id="a", name="f", arguments={"x": 1}, arguments_text='{"x":1}', signature="c2ln"),
        CallPart(id="b", name="f", arguments={}, arguments_text="{}"),
        role=Role.ASSISTANT,
    )
    results = said(
        ResultPart(call_id="b", parts=(TextPart(text="2"),), is_error=True),
        ResultPart(call_id="a", parts=(TextPart(text="1"),), value={"n": 1}),
        TextPart(text="And?"),
    )
    written, losses = write(Request(turns=(USER, calls, results)))
    assert written.body["contents"][1:] == [
        {
            "role": "model",
            "parts": [
                {"text": "I look."},
                {"functionCall": {"id": "a", "name": "f", "args": {"x": 1}}, "thoughtSignature": "c2ln"},
                {"functionCall": {"id": "b", "name": "f", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "a", "name": "f", "response": {"n": 1}}},
                {"functionResponse": {"id": "b", "name": "f", "response": {"error": "2"}}},
                {"text": "And?"},
            ],
        },
    ]
    assert losses == []
    oracle.check_request(written.body, written.path)


@pytest.mark.parametrize(
    ("value", "is_error", "response"),
    [
        (None, False, {"output": "t"}),
        (None, True, {"error": "t"}),
        ({"a": 1}, False, {"a": 1}),
        ({"a": 1}, True, {"error": {"a": 1}}),
        ({"error": 1}, False, {"output": {"error": 1}}),
        ({}, False, {"output": {}}),
    ],
)
def test_an_object_is_a_response_unless_it_would_read_otherwise(value: Any, is_error: bool, response: Any) -> None:
    call = CallPart(id="a", name="f", arguments={}, arguments_text="{}")
    result = ResultPart(call_id="a", parts=(TextPart(text="t"),), is_error=is_error, value=value)
    written, _ = write(Request(turns=(USER, said(call, role=Role.ASSISTANT), said(result))))
    assert written.body["contents"][2]["parts"][0]["functionResponse"]["response"] == response


def test_only_the_first_call_of_a_foreign_step_says_that_it_has_no_seal() -> None:
    calls = [CallPart(id=each, name="f", arguments={}, arguments_text="{}", path=f"/{each}") for each in "ab"]
    results = [ResultPart(call_id=each, parts=()) for each in "ab"]
    request = Request(turns=(USER, said(*calls, role=Role.ASSISTANT), said(*results)))
    written, losses = write(request)
    first, second = written.body["contents"][1]["parts"]
    assert first["thoughtSignature"] == "skip_thought_signature_validator"
    assert "thoughtSignature" not in second
    assert losses == [("signature_placeholder", "semantic", "/a")]
    oracle.check_request(written.body, written.path)
    assert "thoughtSignature" not in str(write(request, caps=BUDGET)[0].body)


def test_media_of_a_response_go_with_it() -> None:
    image = MediaPart(kind=MediaKind.IMAGE, source=Inline(mime="image/png", data="AAAA"))
    call = CallPart(id="a", name="f", arguments={}, arguments_text="{}")
    result = ResultPart(call_id="a", parts=(TextPart(text="see"), image))
    written, losses = write(Request(turns=(USER, said(call, role=Role.ASSISTANT), said(result))), caps=BUDGET)
    assert written.body["contents"][2]["parts"] == [
        {
            "functionResponse": {
                "id": "a",
                "name": "f",
                "response": {"output": "see"},
                "parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}],
            }
        }
    ]
    assert losses == []
    oracle.check_request(written.body, written.path)


@pytest.mark.parametrize(
    ("source", "kind", "expected"),
    [
        (
            Inline(mime="image/heic", data="AAAA"),
            MediaKind.IMAGE,
            {"inlineData": {"mimeType": "image/heic", "data": "AAAA"}},
        ),
        (
            Inline(mime="audio/wav", data="AAAA"),
            MediaKind.AUDIO,
            {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
        ),
        (
            Url(url="https://a.org/x.png"),
            MediaKind.IMAGE,
            {"fileData": {"mimeType": "image/png", "fileUri": "https://a.org/x.png"}},
        ),
        (Url(url="https://a.org/x"), MediaKind.IMAGE, {"fileData": {"fileUri": "https://a.org/x"}}),
        (PlainText(text="body"), MediaKind.DOCUMENT, {"text": "name\nbody"}),
    ],
)
def test_media(source: Any, kind: MediaKind, expected: Any) -> None:
    written, _ = write(Request(turns=(said(MediaPart(kind=kind, source=source, filename="name")),)))
    assert written.body["contents"] == [{"role": "user", "parts": [expected]}]
    oracle.check_request(written.body, written.path)


@pytest.mark.parametrize(
    ("source", "kind", "code"),
    [
        (Inline(mime="image/bmp", data="AAAA"), MediaKind.IMAGE, "unsupported_media"),
        (Inline(mime="image/gif", data="AAAA"), MediaKind.IMAGE, "unsupported_media"),
        (Inline(mime="application/zip", data="AAAA"), MediaKind.DOCUMENT, "unsupported_media"),
        (Url(url="http://a.org/x.png"), MediaKind.IMAGE, "unsupported_media"),
        (ProviderFile(reference="file-1"), MediaKind.DOCUMENT, "foreign_file"),
    ],
)
def test_media_that_gemini_does_not_take_are_refused(source: Any, kind: MediaKind, code: str) -> None:
    part = MediaPart(kind=kind, source=source, path="/p")
    assert refused(Request(turns=(said(part),))) == [(code, "content", "/p")]


@pytest.mark.parametrize("fact", ["images", "documents", "audio"])
def test_media_are_refused_where_the_model_does_not_take_them(fact: str) -> None:
    image = MediaPart(kind=MediaKind.IMAGE, source=Inline(mime="image/png", data="AAAA"), path="/p")
    pdf = MediaPart(kind=MediaKind.DOCUMENT, source=Inline(mime="application/pdf", data="AAAA"), path="/p")
    sound = MediaPart(kind=MediaKind.AUDIO, source=Inline(mime="audio/wav", data="AAAA"), path="/p")
    part = {"images": image, "documents": pdf, "audio": sound}[fact]
    request = Request(turns=(said(part),))
    assert refused(request) == []
    without: dict[str, Any] = {fact: False}
    assert refused(request, caps=replace(CODEC.caps, **without)) == [("unsupported_media", "content", "/p")]


def test_refusals_are_text_and_empty_turns_vanish() -> None:
    turns = (
        USER,
        said(TextPart(text=""), role=Role.ASSISTANT),
        USER,
        said(RefusalPart(text="No."), role=Role.ASSISTANT),
        USER,
    )
    assert write(Request(turns=turns))[0].body["contents"] == [
        {"role": "user", "parts": [{"text": "Hello"}, {"text": "Hello"}]},
        {"role": "model", "parts": [{"text": "No."}]},
        {"role": "user", "parts": [{"text": "Hello"}]},
    ]


def test_arguments_that_are_no_object_are_refused_or_wrapped() -> None:
    call = CallPart(id="a", name="f", arguments=None, arguments_text="{oops", path="/c")
    request = Request(turns=(USER, said(call, role=Role.ASSISTANT), said(ResultPart(call_id="a", parts=()))))
    assert refused(request) == [("unparsable_arguments", "content", "/c")]
    assert write(request)[0].body["contents"][1]["parts"][0]["functionCall"]["args"] == {"_raw": "{oops"}


def test_cache_marks_are_hints() -> None:
    turn = said(TextPart(text="a", path="/p", cache=""))
    assert write(Request(turns=(turn,)))[1] == [("cache_mark", "hint", "/p")]


def test_writing_is_the_same_every_time() -> None:
    body = json.loads((GOLDEN[0].parent / "tools_openapi_schema.json").read_text())["body"]
    assert json.dumps(write(read(body))[0].body) == json.dumps(write(read(body))[0].body)


def test_free_text_of_a_foreign_tool_is_refused_or_wrapped() -> None:
    call = CallPart(id="a", name="f", arguments=None, arguments_text="print(1)", custom=True, path="/c")
    request = Request(turns=(USER, said(call, role=Role.ASSISTANT), said(ResultPart(call_id="a", parts=()))))
    assert refused(request) == [("custom_tool", "content", "/c")]
    assert write(request)[0].body["contents"][1]["parts"][0]["functionCall"]["args"] == {"_raw": "print(1)"}


def test_what_is_told_about_a_document_stands_before_it() -> None:
    source = Inline(mime="application/pdf", data="AAAA")
    part = MediaPart(kind=MediaKind.DOCUMENT, source=source, context="A draft.", filename="a.pdf", path="/p")
    sent, losses = write(Request(turns=(said(part),)))
    assert sent.body["contents"][0]["parts"][0] == {"text": "A draft."}
    assert losses == [("document_context", "semantic", "/p"), ("filename_dropped", "hint", "/p")]
