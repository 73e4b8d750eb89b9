"""Messages are read as what they are, and answers of others are rendered as Anthropic would have given them."""

from dataclasses import replace
from typing import Any

import pytest

from broker.domain.usage import NO_USAGE, Usage, UsageSource
from broker.protocols.anthropic_messages import CODEC
from broker.protocols.canonical.answer import Answer, Finish, Output
from broker.protocols.canonical.parts import (
    CallPart,
    Inline,
    MediaKind,
    MediaPart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
)
from tests.protocols.anthropic_messages.oracle import check_answer

USAGE = Usage(input_tokens=10, cache_read_tokens=4, cache_write_tokens=1, output_tokens=7, source=UsageSource.REPORTED)
CALL = CallPart(id="call_1", name="f", arguments={"x": 1}, arguments_text='{"x":1}')


def a_message(*content: dict[str, Any], **changes: Any) -> dict[str, Any]:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": list(content) or [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 2},
    }
    return {**message, **changes}


def read(message: dict[str, Any]) -> Answer:
    assert CODEC.fault_of(message, 1) is None
    return CODEC.read_answer(message, CODEC.read_usage(message, details_default_zero=False))


def an_answer(*parts: Part, finish: Finish = Finish.STOP, **changes: Any) -> Answer:
    output = Output(index=0, parts=parts or (TextPart(text="Hi"),), finish=finish)
    return replace(Answer(model="other-model", usage=USAGE, id="chatcmpl-1", outputs=(output,)), **changes)


def rendered(answer: Answer, request: dict[str, Any] | None = None) -> dict[str, Any]:
    message = CODEC.write_answer(answer, request)
    check_answer(message)
    return message


USE = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}


@pytest.mark.parametrize(
    ("reason", "blocks", "finish"),
    [
        ("end_turn", (), Finish.STOP),
        ("end_turn", (USE,), Finish.TOOL_CALLS),
        ("tool_use", (USE,), Finish.TOOL_CALLS),
        ("max_tokens", (USE,), Finish.LENGTH),
        ("stop_sequence", (), Finish.STOP_SEQUENCE),
        ("model_context_window_exceeded", (), Finish.CONTEXT_WINDOW),
        ("pause_turn", (), Finish.PAUSE),
        ("refusal", (), Finish.REFUSAL),
        ("something_new", (), Finish.OTHER),
    ],
)
def test_why_it_stopped(reason: str, blocks: tuple[dict[str, Any], ...], finish: Finish) -> None:
    (output,) = read(a_message(*blocks, stop_reason=reason)).outputs
    assert (output.finish, output.finish_raw) == (finish, reason)


def test_a_message_is_read_whole() -> None:
    usage = {"input_tokens": 1, "output_tokens": 2, "service_tier": "priority"}
    message = a_message({"type": "text", "text": "a"}, USE, stop_reason="tool_use", usage=usage)
    answer = read(message)
    assert answer.outputs[0].parts == (
        TextPart(text="a"),
        CallPart(id="toolu_1", name="f", arguments={}, arguments_text="{}"),
    )
    assert (answer.id, answer.model, answer.service_tier) == ("msg_1", "claude", "priority")
    assert answer.usage_raw == usage
    assert answer.notes == ()


def test_the_sequence_that_stopped_it_is_kept() -> None:
    (output,) = read(a_message(stop_reason="stop_sequence", stop_sequence="END")).outputs
    assert output.stop_sequence == "END"


def test_why_it_declined_is_told_in_words() -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "That could harm."}
    (output,) = read(a_message(stop_reason="refusal", stop_details=details, content=[])).outputs
    assert output.parts == (RefusalPart(text="That could harm."),)


def test_what_is_odd_is_noted() -> None:
    cited = {"type": "text", "text": "a", "citations": [{"type": "char_location"}]}
    assert read(a_message(cited, usage=None)).notes == ("usage_missing", "citations_dropped")


def test_a_model_that_cannot_be_printed_is_none() -> None:
    assert read(a_message(model="\ud83d")).model is None
    assert read(a_message(model=7)).model is None


def test_an_answer_is_rendered_with_all_that_a_message_has() -> None:
    message = rendered(an_answer(TextPart(text="Hi"), CALL, finish=Finish.TOOL_CALLS))
    assert message.pop("id").startswith("msg_")
    assert message == {
        "type": "message",
        "role": "assistant",
        "model": "other-model",
        "content": [
            {"type": "text", "text": "Hi", "citations": None},
            {"type": "tool_use", "id": "call_1", "name": "f", "input": {"x": 1}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "stop_details": None,
        "usage": {
            "input_tokens": 5,
            "cache_creation_input_tokens": 1,
            "cache_read_input_tokens": 4,
            "cache_creation": None,
            "output_tokens": 7,
            "output_tokens_details": None,
            "server_tool_use": None,
            "service_tier": None,
        },
    }


@pytest.mark.parametrize("finish", Finish)
def test_every_end_has_a_word_and_reads_the_same(finish: Finish) -> None:
    parts = (CALL,) if finish is Finish.TOOL_CALLS else (TextPart(text="Hi"),)
    message = rendered(an_answer(*parts, finish=finish))
    if finish is Finish.OTHER:  # no word of Anthropic's says it
        assert message["stop_reason"] is None
        return
    same = Finish.REFUSAL if finish is Finish.CONTENT_FILTER else finish
    assert read(message).outputs[0].finish is same
    assert (message["stop_details"] is not None) == (same is Finish.REFUSAL)


def test_words_of_refusal_are_text_and_explanation() -> None:
    message = rendered(an_answer(RefusalPart(text="No."), finish=Finish.REFUSAL))
    assert message["content"] == [{"type": "text", "text": "No.", "citations": None}]
    assert message["stop_details"] == {"type": "refusal", "category": None, "explanation": "No."}


THOUGHT = ReasoningPart(text="hm", signature="s")


@pytest.mark.parametrize(
    ("request_", "block"),
    [
        (None, {"type": "thinking", "thinking": "hm", "signature": "s"}),
        ({"thinking": {"type": "adaptive"}}, {"type": "thinking", "thinking": "hm", "signature": "s"}),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2000, "display": "omitted"}},
            {"type": "thinking", "thinking": "", "signature": "s"},
        ),
        ({"thinking": {"type": "disabled"}}, None),
        ({"thinking": 7}, None),
        ({}, None),
    ],
)
def test_thoughts_are_shown_as_the_producer_asked_and_never_as_text(request_: Any, block: Any) -> None:
    content = rendered(an_answer(THOUGHT, TextPart(text="Hi")), request_)["content"]
    assert content == [*([block] if block else []), {"type": "text", "text": "Hi", "citations": None}]


def test_empty_texts_and_foreign_parts_become_no_blocks() -> None:
    picture = MediaPart(kind=MediaKind.IMAGE, source=Inline(mime="image/png", data="AA=="))
    assert rendered(an_answer(TextPart(text=""), picture))["content"] == []


def test_arguments_that_are_no_object_are_kept_as_they_came() -> None:
    call = replace(CALL, arguments=None, arguments_text="{oops")
    assert rendered(an_answer(call))["content"][0]["input"] == {"_raw": "{oops"}


def test_ids_are_anthropic_s_and_always_the_same() -> None:
    assert rendered(an_answer(id="msg_01Ab"))["id"] == "msg_01Ab"
    assert rendered(an_answer(id="resp_1"))["id"] == rendered(an_answer(id="resp_1"))["id"]
    assert rendered(an_answer(id="resp_1"))["id"] != rendered(an_answer(id="resp_2"))["id"]
    assert rendered(an_answer(id=None))["id"].startswith("msg_")


def test_ids_of_calls_stay_if_they_are_legal_and_never_meet() -> None:
    calls = [replace(CALL, id=call_id) for call_id in ("call_1", "a b", "a.b", "", "\ud83d")]
    ids = [block["id"] for block in rendered(an_answer(*calls))["content"]]
    assert ids[0] == "call_1"
    assert len(set(ids)) == len(ids)
    assert all(CODEC.call_ids.fullmatch(call_id) for call_id in ids)


def test_the_producer_s_model_is_echoed_where_the_provider_names_none() -> None:
    assert rendered(an_answer(model=None), {"model": "asked"})["model"] == "asked"
    assert rendered(an_answer(model=None))["model"] == ""


def test_without_usage_there_are_still_the_numbers_that_must_be_there() -> None:
    usage = rendered(an_answer(usage=NO_USAGE))["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["cache_read_input_tokens"]) == (0, 0, None)


def test_an_answer_without_outputs_is_still_a_message() -> None:
    assert rendered(an_answer(outputs=()))["content"] == []
