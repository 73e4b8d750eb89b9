"""Items of a request become turns."""

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
    RefusalPart,
    ResultPart,
    TextPart,
    Url,
)
from broker.protocols.canonical.request import Request, Role
from broker.protocols.losses import MalformedRequest
from broker.protocols.openai_responses.read_request import read_request


def read(*items: Any, **more: Any) -> Request:
    return read_request({"model": "m", "input": list(items), **more})


def part_of(part: dict[str, Any]) -> Any:
    request = read({"role": "user", "content": [part]})
    return request.turns[0].parts[0]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_a_text_is_a_turn_of_the_user() -> None:
    request = read_request({"model": "m", "input": "Hi."})
    (turn,) = request.turns
    assert (turn.role, turn.path) == (Role.USER, "/input")
    assert turn.parts == (TextPart(text="Hi.", path="/input"),)


@pytest.mark.parametrize("body", [{"input": ""}, {"input": []}, {}, {"input": None}])
def test_no_input_is_no_turn(body: dict[str, Any]) -> None:
    assert read_request({"model": "m", **body}).turns == ()


def test_instructions_come_before_what_operators_say_first() -> None:
    request = read(
        {"role": "developer", "content": "two"},
        {
            "role": "system",
            "content": [{"type": "input_text", "text": "three"}, {"type": "input_text", "text": "four"}],
        },
        user("Hi."),
        {"role": "developer", "content": "later"},
        instructions="one",
    )
    assert [part.text for part in request.system if isinstance(part, TextPart)] == ["one", "two", "three", "four"]
    assert [part.path for part in request.system] == [
        "/instructions",
        "/input/0/content",
        "/input/1/content/0",
        "/input/1/content/1",
    ]
    assert [(turn.role, turn.path) for turn in request.turns] == [(Role.USER, "/input/2"), (Role.SYSTEM, "/input/3")]


def test_empty_texts_are_no_parts() -> None:
    request = read(
        {"role": "system", "content": ""},
        {"role": "user", "content": [{"type": "input_text", "text": ""}, {"type": "input_text", "text": "Hi."}]},
        {"role": "assistant", "content": ""},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        instructions="",
    )
    assert request.system == ()
    assert [len(turn.parts) for turn in request.turns] == [1, 1]


def test_what_the_assistant_says_in_a_row_is_one_turn() -> None:
    request = read(
        user("Hi."),
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Yes.", "annotations": []}],
        },
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'},
        {"type": "function_call", "call_id": "c2", "name": "g", "arguments": ""},
        {"type": "function_call_output", "call_id": "c2", "output": "two"},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        user("And?"),
    )
    asked, said, results, last = request.turns
    assert (asked.role, said.role, results.role, last.role) == (Role.USER, Role.ASSISTANT, Role.USER, Role.USER)
    assert [type(part) for part in said.parts] == [ReasoningPart, TextPart, CallPart, CallPart]
    assert [part.call_id for part in results.parts if isinstance(part, ResultPart)] == ["c2", "c1"]
    assert said.path == "/input/1"
    assert results.parts[0].path == "/input/5"


def test_a_call_keeps_its_arguments_as_they_were_spelled() -> None:
    request = read({"type": "function_call", "call_id": "c", "name": "pay", "arguments": '{"amount": 1.10}'})
    (call,) = request.turns[0].parts
    assert isinstance(call, CallPart)
    assert call.arguments_text == '{"amount": 1.10}'
    assert call.arguments == {"amount": 1.1}
    assert (call.id, call.name, call.custom, call.path) == ("c", "pay", False, "/input/0")


@pytest.mark.parametrize("text", ["[1]", "{", '"a"', "null"])
def test_arguments_that_are_no_object_are_kept_as_text(text: str) -> None:
    request = read({"type": "function_call", "call_id": "c", "name": "f", "arguments": text})
    (call,) = request.turns[0].parts
    assert isinstance(call, CallPart)
    assert (call.arguments, call.arguments_text) == (None, text)


def test_a_custom_call_and_its_result_are_read() -> None:
    request = read(
        {"type": "custom_tool_call", "call_id": "c", "name": "exec", "input": "print()"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "done"},
    )
    (call,), (result,) = (turn.parts for turn in request.turns)
    assert isinstance(call, CallPart)
    assert (call.custom, call.arguments, call.arguments_text) == (True, None, "print()")
    assert isinstance(result, ResultPart)
    assert result.parts == (TextPart(text="done", path="/input/1/output"),)


def test_a_result_may_hold_media() -> None:
    image = {"type": "input_image", "image_url": "https://example.org/a.png"}
    request = read(
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "See:"}, image]}
    )
    (result,) = request.turns[0].parts
    assert isinstance(result, ResultPart)
    text, medium = result.parts
    assert isinstance(text, TextPart)
    assert isinstance(medium, MediaPart)
    assert (medium.source, medium.path) == (Url(url="https://example.org/a.png"), "/input/0/output/1")


def test_thoughts_keep_what_seals_them() -> None:
    request = read(
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}],
            "content": [{"type": "reasoning_text", "text": "long"}],
            "encrypted_content": "gAAA",
        }
    )
    assert request.turns[0].parts == (ReasoningPart(text="One.\n\nTwo.", signature="gAAA", path="/input/0"),)


def test_thoughts_without_a_summary_are_read_themselves() -> None:
    request = read({"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "long"}]})
    assert request.turns[0].parts == (ReasoningPart(text="long", path="/input/0"),)


@pytest.mark.parametrize(
    ("part", "source", "kind"),
    [
        (
            {"type": "input_image", "image_url": "data:image/PNG;base64,aGk="},
            Inline(mime="image/png", data="aGk="),
            "image",
        ),
        ({"type": "input_image", "image_url": "https://e.org/a"}, Url(url="https://e.org/a"), "image"),
        ({"type": "input_image", "file_id": "file-1"}, ProviderFile(reference="file-1"), "image"),
        (
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="},
            Inline(mime="application/pdf", data="aGk="),
            "document",
        ),
        (
            {"type": "input_file", "file_data": "data:image/png;base64,aGk="},
            Inline(mime="image/png", data="aGk="),
            "image",
        ),
        ({"type": "input_file", "file_url": "https://e.org/a.pdf"}, Url(url="https://e.org/a.pdf"), "document"),
        ({"type": "input_file", "file_id": "file-1"}, ProviderFile(reference="file-1"), "document"),
        (
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "mp3"}},
            Inline(mime="audio/mpeg", data="aGk="),
            "audio",
        ),
    ],
)
def test_media_are_read(part: dict[str, Any], source: Any, kind: str) -> None:
    medium = part_of(part)
    assert isinstance(medium, MediaPart)
    assert (medium.source, medium.kind, medium.filename) == (source, MediaKind(kind), part.get("filename"))


def test_a_refusal_stays_one() -> None:
    request = read({"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]})
    assert request.turns[0].parts == (RefusalPart(text="No.", path="/input/0/content/0"),)


@pytest.mark.parametrize(("ttl", "mark"), [({}, ""), ({"ttl": "30m"}, ""), ({"ttl": "12h"}, "1h")])
def test_a_cache_mark_is_read(ttl: dict[str, str], mark: str) -> None:
    part = part_of({"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit", **ttl}})
    assert part.cache == mark
    assert part_of({"type": "input_text", "text": "x", "prompt_cache_breakpoint": None}).cache is None


@pytest.mark.parametrize(
    ("kind", "role"),
    [
        ("web_search_call", Role.ASSISTANT),
        ("shell_call", Role.ASSISTANT),
        ("shell_call_output", Role.USER),
        ("mcp_approval_response", Role.USER),
        ("something_of_the_future", Role.ASSISTANT),
    ],
)
def test_what_only_openai_understands_is_opaque(kind: str, role: Role) -> None:
    item = {"type": kind, "id": "x_1"}
    (turn,) = read(item).turns
    assert turn.role is role
    assert turn.parts == (OpaquePart(kind=kind, raw=item, path="/input/0"),)


def test_a_part_of_the_future_is_opaque() -> None:
    part = {"type": "input_video", "video_url": "https://e.org"}
    assert part_of(part) == OpaquePart(kind="input_video", raw=part, path="/input/0/content/0")


@pytest.mark.parametrize(
    ("item", "code", "path"),
    [
        ({"type": "item_reference", "id": "msg_1"}, "provider_state", "/input/0"),
        ({"id": "msg_1"}, "provider_state", "/input/0"),
        ({"type": "compaction", "encrypted_content": "x"}, "provider_state", "/input/0"),
    ],
)
def test_state_that_openai_keeps_is_lost_content(item: dict[str, Any], code: str, path: str) -> None:
    (lost,) = read(item, user("Hi.")).unmapped
    assert (lost.code, lost.path, lost.loss_class, lost.droppable) == (code, path, LossClass.CONTENT, False)


@pytest.mark.parametrize(
    ("item", "path", "loss_class"),
    [
        ({"role": "user", "content": "a", "tone": "low"}, "/input/0/tone", LossClass.SAMPLING),
        (
            {"role": "user", "content": [{"type": "input_text", "text": "a", "a/b": 1}]},
            "/input/0/content/0/a~1b",
            "sampling",
        ),
        ({"role": "assistant", "content": "a", "phase": "commentary"}, "/input/0/phase", LossClass.HINT),
        (
            {"role": "assistant", "content": [{"type": "output_text", "text": "a", "annotations": [{"type": "x"}]}]},
            "/input/0/content/0/annotations",
            LossClass.HINT,
        ),
        (
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "namespace": "crm"},
            "/input/0/namespace",
            LossClass.CONTENT,
        ),
        (
            {"role": "system", "content": [{"type": "refusal", "refusal": "No."}]},
            "/input/0/content/0",
            LossClass.CONTENT,
        ),
        (
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_video"}]},
            "/input/0/output/0",
            LossClass.CONTENT,
        ),
    ],
)
def test_what_has_no_place_is_noted(item: dict[str, Any], path: str, loss_class: LossClass) -> None:
    (lost,) = read(item).unmapped
    assert (lost.path, lost.loss_class) == (path, loss_class)


@pytest.mark.parametrize(
    ("item", "pointer"),
    [
        ("Hi.", "/input/0"),
        ({"role": "user"}, "/input/0/content"),
        ({"role": "user", "content": 1}, "/input/0/content"),
        ({"role": "user", "content": ["Hi."]}, "/input/0/content/0"),
        ({"role": "user", "content": [{"text": "Hi."}]}, "/input/0/content/0/type"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "/input/0/content/0/text"),
        ({"role": "user", "content": [{"type": "input_image"}]}, "/input/0/content/0/image_url"),
        (
            {"role": "user", "content": [{"type": "input_image", "image_url": {"url": "x"}}]},
            "/input/0/content/0/image_url",
        ),
        ({"role": "user", "content": [{"type": "input_image", "image_url": "aGk="}]}, "/input/0/content/0/image_url"),
        ({"role": "user", "content": [{"type": "input_file"}]}, "/input/0/content/0"),
        ({"role": "user", "content": [{"type": "input_file", "file_data": "aGk="}]}, "/input/0/content/0/file_data"),
        ({"role": "user", "content": [{"type": "input_file", "file_url": "a.pdf"}]}, "/input/0/content/0/file_url"),
        ({"role": "tool", "content": "x"}, "/input/0/role"),
        ({"role": ["user"], "content": "x"}, "/input/0/role"),
        ({"content": "x"}, "/input/0/role"),
        ({"type": 7}, "/input/0/type"),
        ({"type": "function_call", "name": "f", "arguments": "{}"}, "/input/0/call_id"),
        ({"type": "function_call", "call_id": "c", "arguments": "{}"}, "/input/0/name"),
        ({"type": "function_call", "call_id": "c", "name": "f", "arguments": {}}, "/input/0/arguments"),
        ({"type": "function_call_output", "call_id": "c"}, "/input/0/output"),
        ({"type": "function_call_output", "output": "x"}, "/input/0/call_id"),
        ({"type": "custom_tool_call", "call_id": "c", "name": "f"}, "/input/0/input"),
        ({"type": "reasoning", "summary": ["x"]}, "/input/0/summary/0"),
    ],
)
def test_an_item_of_a_wrong_form_is_named(item: Any, pointer: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        read(item)
    assert refused.value.pointer == pointer
