"""Answers read and written, judged by the types of Google's SDK."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.attempt import CallError
from broker.domain.dialect import Dialect
from broker.domain.usage import NO_USAGE, Usage, UsageSource
from broker.protocols import parse_response
from broker.protocols.canonical.answer import Answer, Finish, Output
from broker.protocols.canonical.parts import (
    CallPart,
    Inline,
    MediaPart,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    TextPart,
)
from broker.protocols.gemini_generate_content import CODEC
from tests.protocols.gemini_generate_content import oracle

GOLDEN = sorted((Path(__file__).parents[1] / "golden_answers" / "gemini-generateContent").glob("*.json"))
COUNTS = {"promptTokenCount": 4, "candidatesTokenCount": 3, "totalTokenCount": 7}


def parsed(body: Any) -> Answer:
    answer = parse_response(Dialect.GEMINI_GENERATE_CONTENT, 200, {}, orjson.dumps(body))
    assert not isinstance(answer, CallError), answer
    return answer


def candidate(*parts: Any, finish: str = "STOP", **more: Any) -> dict[str, Any]:
    return {"content": {"role": "model", "parts": list(parts)}, "finishReason": finish, **more}


def of(*candidates: Any, **more: Any) -> Answer:
    return parsed({"candidates": list(candidates), "usageMetadata": COUNTS, **more})


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in GOLDEN])
def test_answers_of_the_documentation_are_read_and_can_be_written(path: Path) -> None:
    answer = parsed(json.loads(path.read_text("utf-8"))["body"])
    body = CODEC.write_answer(answer, None)
    if answer.outputs:
        oracle.check_answer(body)
    else:
        oracle.check_embeddings(body)
    again = parsed(body)
    assert [output.finish for output in again.outputs] == [output.finish for output in answer.outputs]
    assert (again.usage.input_tokens, again.usage.output_tokens, again.usage.reasoning_tokens) == (
        answer.usage.input_tokens,
        answer.usage.output_tokens,
        answer.usage.reasoning_tokens,
    )
    assert again.embeddings == answer.embeddings


def test_parts_of_an_answer() -> None:
    (output,) = of(
        candidate(
            {"text": "Hm.", "thought": True, "thoughtSignature": "s"},
            {"text": "Look:"},
            {"text": "", "thoughtSignature": "t"},
            {"functionCall": {"id": "k", "name": "f", "args": {"a": 1.50}}, "thoughtSignature": "u"},
            {"inlineData": {"mimeType": "image/PNG", "data": "AAAA"}},
            {"executableCode": {"code": "1"}},
        )
    ).outputs
    thought, text, call, image, code = output.parts
    assert thought == ReasoningPart(text="Hm.", signature="s")
    assert text == TextPart(text="Look:")
    assert call == CallPart(id="k", name="f", arguments={"a": 1.5}, arguments_text='{"a":1.5}', signature="u")
    assert isinstance(image, MediaPart)
    assert image.source == Inline(mime="image/png", data="AAAA")
    assert isinstance(code, OpaquePart)
    assert code.kind == "executableCode"


def test_calls_without_ids_get_some_of_their_own() -> None:
    calls = [{"functionCall": {"name": "f"}}, {"functionCall": {"name": "f", "id": ""}}]
    answer = of(candidate(*calls), candidate(*calls, index=1), responseId="abc")
    ids = [part.id for output in answer.outputs for part in output.parts if isinstance(part, CallPart)]
    assert ids == ["call_abc_0_0", "call_abc_0_1", "call_abc_1_0", "call_abc_1_1"]
    assert [part.arguments_text for part in answer.outputs[0].parts if isinstance(part, CallPart)] == ["{}", "{}"]


@pytest.mark.parametrize(
    ("reason", "calls", "finish"),
    [
        ("STOP", False, Finish.STOP),
        ("STOP", True, Finish.TOOL_CALLS),
        ("MAX_TOKENS", False, Finish.LENGTH),
        ("MAX_TOKENS", True, Finish.LENGTH),
        ("SAFETY", True, Finish.CONTENT_FILTER),
        ("CONTINUATION", False, Finish.PAUSE),
        ("OTHER", True, Finish.OTHER),
        ("REASON_OF_TOMORROW", False, Finish.OTHER),
        *(
            (reason, False, Finish.CONTENT_FILTER)
            for reason in ["RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"]
        ),
        *((reason, False, Finish.CONTENT_FILTER) for reason in ["LANGUAGE", "IMAGE_SAFETY", "IMAGE_RECITATION"]),
    ],
)
def test_finish_reasons(reason: str, calls: bool, finish: Finish) -> None:
    part = {"functionCall": {"name": "f"}} if calls else {"text": "a"}
    (output,) = of(candidate(part, finish=reason)).outputs
    assert (output.finish, output.finish_raw) == (finish, reason)


def test_a_question_that_was_blocked_is_an_answer_without_words() -> None:
    answer = parsed({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 5}})
    assert answer.outputs == (Output(index=0, parts=(), finish=Finish.CONTENT_FILTER, finish_raw="SAFETY"),)
    assert answer.usage.input_tokens == 5


def test_candidates_come_in_order_of_their_indexes() -> None:
    answer = of(candidate({"text": "b"}, index=1), candidate({"text": "a"}))
    assert [(output.index, output.parts) for output in answer.outputs] == [
        (0, (TextPart(text="a"),)),
        (1, (TextPart(text="b"),)),
    ]


def test_names_and_times() -> None:
    answer = of(candidate({"text": "a"}), modelVersion="m", responseId="r", createTime="2025-06-02T09:30:15.123456Z")
    assert (answer.model, answer.id, answer.created) == ("m", "r", 1748856615)
    odd = of(candidate({"text": "a"}), modelVersion="\u0000", responseId=7, createTime="yesterday")
    assert (odd.model, odd.id, odd.created) == (None, None, None)
    traffic = {**COUNTS, "trafficType": "ON_DEMAND_FLEX"}
    assert parsed({"candidates": [candidate({"text": "a"})], "usageMetadata": traffic}).service_tier == "flex"


def test_log_probabilities_go_there_and_back() -> None:
    result = {
        "chosenCandidates": [{"token": "é", "tokenId": 1, "logProbability": -0.5}, {"token": "!"}],
        "topCandidates": [
            {"candidates": [{"token": "é", "logProbability": -0.5}, {"token": "e", "logProbability": -2}]}
        ],
    }
    (output,) = of(candidate({"text": "é!"}, logprobsResult=result)).outputs
    first = {"token": "é", "logprob": -0.5, "bytes": [195, 169]}
    assert output.logprobs == {
        "content": [
            {**first, "top_logprobs": [first, {"token": "e", "logprob": -2, "bytes": [101]}]},
            {"token": "!", "logprob": 0.0, "bytes": [33], "top_logprobs": []},
        ],
        "refusal": None,
    }
    body = CODEC.write_answer(Answer(model="m", usage=NO_USAGE, outputs=(output,)), None)
    oracle.check_answer(body)
    (again,) = of(*body["candidates"]).outputs  # type: ignore[misc]  # a list
    assert again.logprobs == output.logprobs


@pytest.mark.parametrize(
    "result", [7, {}, {"chosenCandidates": 1}, {"chosenCandidates": [{"token": 1}]}, {"chosenCandidates": []}]
)
def test_log_probabilities_that_make_no_sense_are_none(result: Any) -> None:
    assert of(candidate({"text": "a"}, logprobsResult=result)).outputs[0].logprobs is None


def rendered(*parts: Any, finish: Finish = Finish.STOP, request: Any = None, **more: Any) -> Any:
    output = Output(index=0, parts=parts, finish=finish)
    body = CODEC.write_answer(Answer(model="m", usage=NO_USAGE, outputs=(output,), **more), request)
    oracle.check_answer(body)
    return body


def test_an_answer_of_another_vendor_reads_as_geminis() -> None:
    call = CallPart(id="toolu_1", name="f", arguments={"a": 1}, arguments_text="")
    body = rendered(TextPart(text="Look:"), call, finish=Finish.TOOL_CALLS, id="msg_1")
    assert body == {
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [{"text": "Look:"}, {"functionCall": {"id": "toolu_1", "name": "f", "args": {"a": 1}}}],
                },
                "finishReason": "STOP",
                "index": 0,
            }
        ],
        "modelVersion": "m",
        "responseId": "msg_1",
    }


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        (Finish.STOP_SEQUENCE, "STOP"),
        (Finish.LENGTH, "MAX_TOKENS"),
        (Finish.CONTEXT_WINDOW, "MAX_TOKENS"),
        (Finish.REFUSAL, "SAFETY"),
        (Finish.CONTENT_FILTER, "SAFETY"),
        (Finish.PAUSE, "CONTINUATION"),
        (Finish.OTHER, "OTHER"),
    ],
)
def test_reasons_are_written_in_geminis_words(finish: Finish, reason: str) -> None:
    assert rendered(RefusalPart(text="No."), finish=finish)["candidates"][0]["finishReason"] == reason


@pytest.mark.parametrize(
    ("request_body", "shown"),
    [
        (None, True),
        ({"contents": []}, False),
        ({"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}, True),
        ({"generation_config": {"thinking_config": {"include_thoughts": True}}}, True),
        ({"generationConfig": {"thinkingConfig": {"includeThoughts": False}}}, False),
    ],
)
def test_thoughts_are_shown_to_those_who_asked(request_body: Any, shown: bool) -> None:
    thought = ReasoningPart(text="Hm.", signature="another vendor's seal")
    parts = rendered(thought, TextPart(text="4"), request=request_body)["candidates"][0]["content"]["parts"]
    assert parts == ([{"text": "Hm.", "thought": True}] if shown else []) + [{"text": "4"}]


def test_an_answer_without_words_has_no_parts() -> None:
    assert rendered(finish=Finish.CONTENT_FILTER)["candidates"][0]["content"] == {"role": "model"}


def test_arguments_that_are_no_object_are_kept() -> None:
    call = CallPart(id="a", name="f", arguments=None, arguments_text="{oops")
    (part,) = rendered(call)["candidates"][0]["content"]["parts"]
    assert part["functionCall"]["args"] == {"_raw": "{oops"}


@given(
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
)
def test_usage_goes_there_and_back(cached: int, fresh: int, thoughts: int, words: int) -> None:
    usage = Usage(
        input_tokens=cached + fresh,
        cache_read_tokens=cached,
        cache_write_tokens=0,
        output_tokens=thoughts + words,
        reasoning_tokens=thoughts,
        source=UsageSource.REPORTED,
    )
    output = Output(index=0, parts=(TextPart(text="a"),), finish=Finish.STOP)
    body = CODEC.write_answer(Answer(model="m", usage=usage, outputs=(output,)), None)
    reported: Any = body.get("usageMetadata", {})
    assert sum(reported.get(key, 0) for key in ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")) == (
        reported.get("totalTokenCount", 0)
    )
    assert all(count for name, count in reported.items() if name != "promptTokenCount")
    assert CODEC.read_usage(body, details_default_zero=False) == usage
