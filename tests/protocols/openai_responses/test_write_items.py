"""A conversation in OpenAI's words, and what of it cannot be said."""

from base64 import b64encode
from typing import Any

import pytest

from broker.domain.caps import Caps
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
from broker.protocols.canonical.request import Role
from tests.protocols.openai_responses.writing import items, refused, turn, write


def test_one_text_of_operators_is_the_instructions() -> None:
    body, lost = write(system=(TextPart(text="Be brief."),))
    assert body["instructions"] == "Be brief."
    assert len(body["input"]) == 1
    assert lost == []


def test_several_texts_of_operators_stay_apart() -> None:
    body, _ = write(system=(TextPart(text="One."), TextPart(text="Two.")))
    assert "instructions" not in body
    assert body["input"][:2] == [{"role": "system", "content": "One."}, {"role": "system", "content": "Two."}]


def test_operators_may_show_images() -> None:
    image = MediaPart(kind=MediaKind.IMAGE, source=Url(url="https://e.org/a"))
    body, lost = write(system=(image,))
    assert body["input"][0]["role"] == "system"
    assert body["input"][0]["content"][0]["type"] == "input_image"
    assert lost == []


def test_an_operator_in_mid_conversation_stays_in_place() -> None:
    said = items(
        turn(TextPart(text="a")), turn(TextPart(text="b"), role=Role.SYSTEM), caps=Caps(system_role="developer")
    )
    assert said == [{"role": "user", "content": "a"}, {"role": "developer", "content": "b"}]


def test_calls_stand_behind_the_texts_and_results_before_the_users_words() -> None:
    call = CallPart(id="c", name="f", arguments={"a": 1}, arguments_text='{"a": 1.0}')
    said = items(
        turn(TextPart(text="Look:"), call, role=Role.ASSISTANT),
        turn(ResultPart(call_id="c", parts=(TextPart(text="42"),)), TextPart(text="And?")),
    )
    assert said == [
        {"type": "message", "role": "assistant", "content": "Look:"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": 1.0}'},
        {"type": "function_call_output", "call_id": "c", "output": "42"},
        {"role": "user", "content": "And?"},
    ]


def test_a_text_behind_a_call_moves_before_it() -> None:
    call = CallPart(id="c", name="f", arguments={}, arguments_text="")
    body, lost = write(turn(call, TextPart(text="Looking."), role=Role.ASSISTANT))
    assert [item.get("type", item.get("role")) for item in body["input"]] == ["message", "function_call"]
    assert body["input"][1]["arguments"] == "{}"
    assert lost == [("text_moved", "/t", LossClass.SEMANTIC)]


def test_arguments_that_are_no_object_go_as_they_came() -> None:
    call = CallPart(id="c", name="f", arguments=None, arguments_text="{oops")
    body, lost = write(turn(call, role=Role.ASSISTANT))
    assert body["input"][0]["arguments"] == "{oops"
    assert lost == []


def test_a_refusal_is_told_in_an_output_message() -> None:
    (item,) = items(turn(RefusalPart(text="No."), role=Role.ASSISTANT))
    assert item["content"] == [{"type": "refusal", "refusal": "No."}]
    assert item["id"].startswith("msg_")
    assert (item["type"], item["status"]) == ("message", "completed")


@pytest.mark.parametrize(
    ("parts", "output"),
    [
        ((), ""),
        ((TextPart(text="a"),), "a"),
        (
            (TextPart(text="a"), TextPart(text="b")),
            [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}],
        ),
        (
            (MediaPart(kind=MediaKind.IMAGE, source=Inline(mime="image/png", data="aGk=")),),
            [{"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "auto"}],
        ),
    ],
)
def test_results_are_texts_or_parts(parts: Any, output: Any) -> None:
    (item,) = items(turn(ResultPart(call_id="c", parts=parts)))
    assert item == {"type": "function_call_output", "call_id": "c", "output": output}


def test_that_a_tool_failed_is_noted() -> None:
    failed = ResultPart(call_id="c", parts=(TextPart(text="boom"),), is_error=True, path="/r")
    _, lost = write(turn(failed))
    assert lost == [("is_error_dropped", "/r", LossClass.HINT)]


@pytest.mark.parametrize(
    ("medium", "written"),
    [
        (
            MediaPart(kind=MediaKind.IMAGE, source=Url(url="https://e.org/a"), detail="low"),
            {"type": "input_image", "image_url": "https://e.org/a", "detail": "low"},
        ),
        (
            MediaPart(kind=MediaKind.IMAGE, source=Url(url="https://e.org/a"), detail="ultra"),
            {"type": "input_image", "image_url": "https://e.org/a", "detail": "auto"},
        ),
        (
            MediaPart(kind=MediaKind.DOCUMENT, source=Inline(mime="application/pdf", data="aGk="), filename="a.pdf"),
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="},
        ),
        (
            MediaPart(kind=MediaKind.DOCUMENT, source=Inline(mime="application/pdf", data="aGk=")),
            {"type": "input_file", "filename": "document.pdf", "file_data": "data:application/pdf;base64,aGk="},
        ),
        (
            MediaPart(kind=MediaKind.DOCUMENT, source=Url(url="https://e.org/a.pdf")),
            {"type": "input_file", "file_url": "https://e.org/a.pdf"},
        ),
    ],
)
def test_media_are_written(medium: MediaPart, written: dict[str, Any]) -> None:
    body, lost = write(turn(medium, TextPart(text="?")))
    assert body["input"][0]["content"] == [written, {"type": "input_text", "text": "?"}]
    assert lost == []


@pytest.mark.parametrize(
    "source", [PlainText(text="Héllo"), Inline(mime="text/plain", data=b64encode("Héllo".encode()).decode())]
)
def test_a_text_document_becomes_a_text(source: PlainText | Inline) -> None:
    document = MediaPart(kind=MediaKind.DOCUMENT, source=source, filename="Title", context="Old.", path="/d")
    body, lost = write(turn(document))
    assert [part["text"] for part in body["input"][0]["content"]] == ["Old.", "Title\nHéllo"]
    assert [code for code, _, _ in lost] == ["document_context", "document_as_text"]


@pytest.mark.parametrize(
    ("kind", "source", "code"),
    [
        (MediaKind.IMAGE, Inline(mime="image/bmp", data="aGk="), "unsupported_media"),
        (MediaKind.IMAGE, ProviderFile(reference="file-1"), "foreign_file"),
        (MediaKind.DOCUMENT, ProviderFile(reference="file-1"), "foreign_file"),
        (MediaKind.DOCUMENT, Inline(mime="application/zip", data="aGk="), "unsupported_media"),
        (MediaKind.DOCUMENT, Inline(mime="text/plain", data="%%%"), "unsupported_media"),
        (MediaKind.AUDIO, Inline(mime="audio/wav", data="aGk="), "unsupported_media"),
        (MediaKind.AUDIO, Url(url="https://e.org/a.wav"), "unsupported_media"),
        (MediaKind.VIDEO, Url(url="https://e.org/a.mp4"), "unsupported_media"),
    ],
)
def test_media_that_cannot_be_said_are_refused(kind: MediaKind, source: Any, code: str) -> None:
    assert refused(MediaPart(kind=kind, source=source, path="/m")) == [(code, "/m")]


def test_a_model_without_eyes_is_shown_nothing() -> None:
    image = MediaPart(kind=MediaKind.IMAGE, source=Url(url="https://e.org/a"), path="/m")
    document = MediaPart(kind=MediaKind.DOCUMENT, source=Url(url="https://e.org/a"), path="/d")
    blind = Caps(images=False, documents=False)
    assert refused(image, document, caps=blind) == [("unsupported_media", "/m"), ("unsupported_media", "/d")]


def test_cache_marks_are_written_where_they_are_taken() -> None:
    marked = TextPart(text="long", cache="1h", path="/c")
    (item,) = items(turn(marked), caps=Caps(cache_marks=True))
    assert item["content"] == [{"type": "input_text", "text": "long", "prompt_cache_breakpoint": {"mode": "explicit"}}]
    body, lost = write(turn(marked))
    assert body["input"][0]["content"] == "long"
    assert lost == [("cache_mark", "/c", LossClass.HINT)]
