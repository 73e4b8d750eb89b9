"""Answers: read as what they say, and written as OpenAI would have said them."""

from dataclasses import replace
from typing import Any

import pytest
from openai.types.responses import Response

from broker.domain.usage import NO_USAGE, Usage, UsageSource
from broker.protocols.canonical.answer import Answer, Finish, Output
from broker.protocols.canonical.parts import CallPart, OpaquePart, Part, ReasoningPart, RefusalPart, TextPart
from broker.protocols.codec import Embedded
from broker.protocols.openai_responses.read_answer import fault_of, items_asked_for, read_answer
from broker.protocols.openai_responses.usage import read_usage
from broker.protocols.openai_responses.write_answer import write_answer

USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 15,
}


def response(*output: Any, status: str = "completed", **more: Any) -> dict[str, Any]:
    base = {"id": "resp_1", "object": "response", "created_at": 7, "status": status, "model": "gpt-5-mini-2025"}
    return {**base, "error": None, "output": list(output), "usage": USAGE, **more}


def message(*content: Any) -> dict[str, Any]:
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": list(content)}


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "output_text", "text": said, "annotations": [], **more}


def call(arguments: str = "{}", call_id: str = "c") -> dict[str, Any]:
    return {"type": "function_call", "id": "fc_1", "call_id": call_id, "name": "f", "arguments": arguments}


def read(value: dict[str, Any]) -> Answer:
    assert fault_of(value, 1) is None
    return read_answer(value, read_usage(value, details_default_zero=False))


def written(*parts: Part, finish: Finish = Finish.STOP, request: Any = None, **more: Any) -> dict[str, Any]:
    """Write an answer, which must satisfy the SDK."""
    output = Output(index=0, parts=parts, finish=finish, logprobs=more.pop("logprobs", None))
    answer = Answer(model="m", usage=NO_USAGE, id="abc", outputs=(output,))
    value = write_answer(replace(answer, **more), request)
    Response.model_validate(value, strict=True)
    return value


def test_one_answer_is_asked_for() -> None:
    assert items_asked_for({"model": "m", "n": 3}) == 1


def test_an_answer_is_read_in_order() -> None:
    answer = read(
        response(
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
            message(text("One."), text("")),
            {"type": "web_search_call", "id": "ws_1"},
            message(text("Two."), {"type": "refusal", "refusal": "No."}, {"type": "output_audio", "data": "x"}),
            call('{"a": 1.10}'),
            service_tier="flex",
        )
    )
    (output,) = answer.outputs
    assert output.parts == (
        ReasoningPart(text="Hm."),
        TextPart(text="One."),
        OpaquePart(kind="web_search_call", raw={"type": "web_search_call", "id": "ws_1"}),
        TextPart(text="Two."),
        RefusalPart(text="No."),
        OpaquePart(kind="output_audio", raw={"type": "output_audio", "data": "x"}),
        CallPart(id="c", name="f", arguments={"a": 1.1}, arguments_text='{"a": 1.10}'),
    )
    assert (output.index, output.finish, output.finish_raw) == (0, Finish.TOOL_CALLS, "completed")
    assert (answer.id, answer.model, answer.created, answer.service_tier) == ("resp_1", "gpt-5-mini-2025", 7, "flex")
    assert (answer.usage_raw, answer.notes) == (USAGE, ())


@pytest.mark.parametrize(
    ("value", "finish", "raw"),
    [
        (response(message(text("a"))), Finish.STOP, "completed"),
        (response(call()), Finish.TOOL_CALLS, "completed"),
        (response(message({"type": "refusal", "refusal": "No."})), Finish.REFUSAL, "completed"),
        (
            response(call('{"a'), status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
            Finish.LENGTH,
            "max_output_tokens",
        ),
        (
            response(status="incomplete", incomplete_details={"reason": "content_filter"}),
            Finish.CONTENT_FILTER,
            "content_filter",
        ),
        (response(status="incomplete", incomplete_details={"reason": "steered"}), Finish.OTHER, "steered"),
        (response(status="incomplete", incomplete_details=None), Finish.OTHER, "incomplete"),
    ],
)
def test_the_end_is_named(value: dict[str, Any], finish: Finish, raw: str) -> None:
    (output,) = read(value).outputs
    assert (output.finish, output.finish_raw) == (finish, raw)


def test_a_failed_response_is_its_error() -> None:
    error = {"code": "server_error", "message": "x"}
    assert fault_of(response(status="failed", error=error), 1) == Embedded(error=error)
    assert isinstance(fault_of(response(status="failed"), 1), Embedded)


def test_usage_is_inclusive() -> None:
    assert read_usage({"usage": USAGE}, details_default_zero=False) == Usage(
        input_tokens=10,
        cache_read_tokens=4,
        cache_write_tokens=2,
        output_tokens=5,
        reasoning_tokens=3,
        source=UsageSource.REPORTED,
    )


@pytest.mark.parametrize(("default_zero", "absent"), [(False, None), (True, 0)])
def test_an_absent_detail_is_zero_only_where_that_is_documented(default_zero: bool, absent: int | None) -> None:
    usage = read_usage({"usage": {"input_tokens": 1, "output_tokens": 2}}, details_default_zero=default_zero)
    assert (usage.cache_read_tokens, usage.cache_write_tokens, usage.reasoning_tokens) == (absent,) * 3


@pytest.mark.parametrize(
    "reported",
    [
        None,
        [],
        {},
        {"input_tokens": -1, "output_tokens": 1},
        {"input_tokens": True, "output_tokens": 1},
        {"input_tokens": 1},
    ],
)
def test_usage_that_makes_no_sense_is_missing(reported: Any) -> None:
    assert read_usage({"usage": reported}, details_default_zero=True) is NO_USAGE
    assert read(response(message(text("a")), usage=reported)).notes == ("usage_missing",)


def test_a_part_larger_than_its_whole_is_unknown() -> None:
    usage = read_usage({"usage": USAGE | {"output_tokens_details": {"reasoning_tokens": 6}}}, details_default_zero=True)
    assert (usage.output_tokens, usage.reasoning_tokens) == (5, None)


def test_another_total_is_noted() -> None:
    assert read(response(message(text("a")), usage=USAGE | {"total_tokens": 16})).notes == ("usage_total_differs",)


def test_usage_is_written_back_as_it_was() -> None:
    answer = read(response(message(text("a"))))
    assert write_answer(answer, None)["usage"] == USAGE


def test_usage_that_nobody_knows_is_null() -> None:
    assert written(TextPart(text="a"))["usage"] is None


def test_log_probabilities_go_both_ways() -> None:
    token = {
        "token": "a",
        "logprob": -0.5,
        "bytes": [97],
        "top_logprobs": [{"token": "a", "logprob": -0.5, "bytes": [97]}],
    }
    (output,) = read(response(message(text("a", logprobs=[token])))).outputs
    assert output.logprobs == {"content": [token], "refusal": None}
    value = written(TextPart(text="a"), TextPart(text="b"), logprobs=output.logprobs)
    assert [part["logprobs"] for part in value["output"][0]["content"]] == [[token], []]


def test_log_probabilities_without_bytes_get_none() -> None:
    token = {"token": "a", "logprob": -0.5, "bytes": None, "top_logprobs": []}
    value = written(TextPart(text="a"), logprobs={"content": [token]})
    assert value["output"][0]["content"][0]["logprobs"] == [token | {"bytes": []}]


def test_texts_and_refusals_in_a_row_are_one_message() -> None:
    value = written(
        ReasoningPart(text="Hm."),
        TextPart(text="a"),
        RefusalPart(text="no"),
        CallPart(id="c", name="f", arguments={}, arguments_text=""),
        TextPart(text="b"),
        OpaquePart(kind="x", raw={}),
    )
    assert [item["type"] for item in value["output"]] == ["reasoning", "message", "function_call", "message"]
    assert [item["id"] for item in value["output"]] == ["rs_abc_0", "msg_abc_1", "fc_abc_2", "msg_abc_3"]
    assert [part["type"] for part in value["output"][1]["content"]] == ["output_text", "refusal"]
    assert value["output"][2]["arguments"] == "{}"
    assert value["output"][0]["summary"] == [{"type": "summary_text", "text": "Hm."}]


def test_thoughts_never_become_text() -> None:
    value = written(ReasoningPart(text="secret plan", signature="sig"), TextPart(text="a"))
    assert Response.model_validate(value).output_text == "a"
    assert "sig" not in str(value)


@pytest.mark.parametrize(
    ("finish", "status", "details"),
    [
        (Finish.STOP, "completed", None),
        (Finish.STOP_SEQUENCE, "completed", None),
        (Finish.TOOL_CALLS, "completed", None),
        (Finish.REFUSAL, "completed", None),
        (Finish.OTHER, "completed", None),
        (Finish.LENGTH, "incomplete", {"reason": "max_output_tokens"}),
        (Finish.CONTEXT_WINDOW, "incomplete", {"reason": "max_output_tokens"}),
        (Finish.CONTENT_FILTER, "incomplete", {"reason": "content_filter"}),
        (Finish.PAUSE, "incomplete", {"reason": None}),
    ],
)
def test_the_end_is_told(finish: Finish, status: str, details: Any) -> None:
    value = written(TextPart(text="a"), finish=finish, created=9)
    assert (value["status"], value["incomplete_details"]) == (status, details)
    assert value["output"][-1]["status"] == status
    assert (value["created_at"], value["completed_at"]) == (9, 9 if status == "completed" else None)


def test_every_end_is_told() -> None:
    assert all(written(finish=finish)["status"] in ("completed", "incomplete") for finish in Finish)


def test_what_declines_is_a_refusal() -> None:
    value = written(TextPart(text="I will not."), finish=Finish.REFUSAL)
    assert value["output"][0]["content"] == [{"type": "refusal", "refusal": "I will not."}]


def test_an_empty_answer_is_an_empty_text() -> None:
    value = written(finish=Finish.STOP)
    assert [part["text"] for part in value["output"][0]["content"]] == [""]
    assert written(finish=Finish.LENGTH)["output"] == []


def test_a_call_that_was_cut_says_so() -> None:
    cut = CallPart(id="c", name="f", arguments=None, arguments_text='{"a')
    whole = CallPart(id="d", name="f", arguments={}, arguments_text="{}")
    value = written(whole, cut, finish=Finish.LENGTH)
    assert [item["status"] for item in value["output"]] == ["completed", "incomplete"]


def test_ids_are_openais_and_the_same_every_time() -> None:
    assert written(TextPart(text="a"), id="resp_9")["id"] == "resp_9"
    assert written(TextPart(text="a"), id="msg_01")["id"] == "resp_msg_01"
    nameless = [written(TextPart(text=said), id=None)["id"] for said in ("a", "a", "b")]
    assert nameless[0] == nameless[1] != nameless[2]
    assert all(name.startswith("resp_") and len(name) > 20 for name in nameless)


def test_settings_of_the_request_are_repeated() -> None:
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
    request = {
        "model": "gpt-5-mini",
        "input": "Hi.",
        "instructions": "Be brief.",
        "tools": [tool],
        "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": False,
        "temperature": 0.2,
        "max_output_tokens": 99,
        "metadata": {"a": "b"},
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
        "truncation": "auto",
        "safety_identifier": "u",
    }
    value = written(TextPart(text="a"), request=request, model=None)
    assert {name: value[name] for name in request if name != "input"} == {
        name: given for name, given in request.items() if name != "input"
    }


def test_defaults_stand_in_for_what_was_not_said() -> None:
    value = written(TextPart(text="a"))
    wanted = {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True, "temperature": 1.0, "top_p": 1.0}
    assert {name: value[name] for name in wanted} == wanted
    assert value["text"] == {"format": {"type": "text"}}


@pytest.mark.parametrize("odd", [None, 7, "odd", True, [], ["odd"], {}, {"type": 7}, {"odd": 7}, {"format": 7}])
def test_settings_of_a_wrong_type_are_not_repeated(odd: Any) -> None:
    names = (
        "model instructions tools tool_choice temperature top_p metadata reasoning text truncation user top_logprobs"
    )
    for name in names.split():
        written(TextPart(text="a"), request={name: odd}, model=None)
