import base64
import struct
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.attempt import CallError, ErrorClass, Scope
from broker.domain.job import Endpoint
from broker.domain.usage import NO_USAGE, Usage, UsageSource
from broker.protocols import Answer, parse_response

CHAT = Endpoint.CHAT_COMPLETIONS
EMBEDDINGS = Endpoint.EMBEDDINGS

USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 10,
    "total_tokens": 30,
    "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 4},
}


def a_choice(index: int = 0, finish: Any = "stop", **message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": "yes", "refusal": None, "annotations": []} | message
    return {"index": index, "message": said, "logprobs": None, "finish_reason": finish}


def a_completion(*choices: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "gpt-5-mini-2026-01-01",
        "choices": list(choices) or [a_choice()],
        "usage": USAGE,
    } | more


def a_list(*vectors: Any, **more: Any) -> dict[str, Any]:
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return {"object": "list", "model": "e", "data": data, "usage": {"prompt_tokens": 7, "total_tokens": 7}} | more


def read(value: Any, endpoint: Endpoint = CHAT, **more: Any) -> Answer | CallError:
    body = value if isinstance(value, bytes) else orjson.dumps(value)
    items = more.pop("items", None)
    asked: dict[str, Any] = {"n": items} if endpoint is CHAT else {"input": ["text"] * (items or 0)}
    request = None if items is None else asked
    return parse_response(endpoint.dialect, more.pop("status", 200), {}, body, request=request, **more)


def the_answer(value: Any, endpoint: Endpoint = CHAT, **more: Any) -> Answer:
    answer = read(value, endpoint, **more)
    assert isinstance(answer, Answer), answer
    return answer


def the_error(value: Any, endpoint: Endpoint = CHAT, **more: Any) -> CallError:
    error = read(value, endpoint, **more)
    assert isinstance(error, CallError), error
    return error


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    "choice",
    [
        a_choice(),
        a_choice(content=""),
        a_choice(content=[{"type": "text", "text": "yes"}]),
        a_choice(content=None, finish="tool_calls", tool_calls=[CALL]),
        a_choice(
            content=None, finish="stop", tool_calls=[{"type": "custom", "custom": {"name": "g", "input": "1 + 1"}}]
        ),
        a_choice(content=None, finish="function_call", function_call={"name": "f", "arguments": "{}"}),
        a_choice(content=None, refusal="I will not."),
        a_choice(content=None, finish="content_filter"),
        a_choice(content=None, finish="length"),
        a_choice(content=None, reasoning_content="Let me see"),
        a_choice(content="cut sho", finish="length", tool_calls=[]),
        a_choice(content="so", finish="a_reason_yet_to_come"),
        {"message": {"role": "assistant", "content": "no index"}, "finish_reason": "stop"},
    ],
)
def test_a_complete_choice_is_an_answer(choice: dict[str, Any]) -> None:
    assert the_answer(a_completion(choice), items=1).model == "gpt-5-mini-2026-01-01"


def test_several_choices_may_come_in_any_order() -> None:
    the_answer(a_completion(a_choice(2), a_choice(0), a_choice(1)), items=3)


@pytest.mark.parametrize("usage", [None, [], {"prompt_tokens": -1, "completion_tokens": "many"}])
def test_an_answer_stands_without_usable_usage(usage: Any) -> None:
    assert the_answer(a_completion(usage=usage)).usage == NO_USAGE
    assert the_answer(a_list([0.5], usage=usage), EMBEDDINGS).usage == NO_USAGE


def test_an_error_that_is_null_is_no_error() -> None:
    the_answer(a_completion(error=None))


GOOD = orjson.dumps(a_completion())
BAD_CHATS: list[Any] = [
    b"",
    b"  \n ",
    b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>",
    b"data: {}\n\ndata: [DONE]\n\n",
    *(GOOD[:size] for size in (1, 10, 60, 120, len(GOOD) // 2, len(GOOD) - 1)),
    GOOD + GOOD,
    GOOD.replace(b'"yes"', b'"y\xffs"'),
    GOOD.replace(b'"yes"', b"NaN"),
    b"[" * 100_000,
    b'{"choices":' * 2000,
    b"null",
    b"true",
    b'"yes"',
    b"1",
    b"[]",
    b"{}",
    [a_completion()],
    {"choices": None},
    {"choices": []},
    {"choices": {}},
    {"choices": "yes"},
    {"choices": [None]},
    {"choices": ["yes"]},
    {"choices": [[]]},
    {"choices": [{}]},
    {"choices": [{"text": "a legacy completion", "index": 0, "finish_reason": "stop"}]},
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "y"}, "finish_reason": "stop"}]},
    a_completion(a_choice(finish=None)),
    a_completion(a_choice(finish="")),
    a_completion(a_choice(finish=7)),
    a_completion({"index": 0, "message": {"role": "assistant", "content": "y"}}),
    a_completion({"index": 0, "message": None, "finish_reason": "stop"}),
    a_completion({"index": 0, "message": "yes", "finish_reason": "stop"}),
    a_completion({"index": 0, "message": {"content": "y"}, "finish_reason": "stop"}),
    a_completion(a_choice(role=None)),
    a_completion(a_choice(content=None)),
    a_completion(a_choice(content=5)),
    a_completion(a_choice(content={})),
    a_completion(a_choice(content=[])),
    a_completion(a_choice(content=["y"])),
    a_completion(a_choice(content=None, tool_calls=[])),
    a_completion(a_choice(content=None, tool_calls={})),
    a_completion(a_choice(content=None, tool_calls="f")),
    a_completion(a_choice(content=None, tool_calls=[None])),
    a_completion(a_choice(content=None, tool_calls=[{"id": "c", "function": None}])),
    a_completion(a_choice(content=None, tool_calls=[{"id": "c", "function": {"arguments": "{}"}}])),
    a_completion(a_choice(1)),
    a_completion(a_choice(0), a_choice(0)),
    a_completion(a_choice(0), a_choice(2)),
    a_completion(a_choice(-1), a_choice(0)),
    a_completion(a_choice(0), a_choice(finish=None, index=1)),
    {"id": "x", "model": "m", "usage": USAGE},
    {"detail": "Not Found"},
    {"message": "hello"},
    a_list([0.5]),
]


@pytest.mark.parametrize("bad", BAD_CHATS, ids=range(len(BAD_CHATS)))
def test_what_is_no_complete_chat_answer_is_malformed(bad: Any) -> None:
    error = the_error(bad)
    assert error.error_class is ErrorClass.MALFORMED_ANSWER
    assert error.scope is Scope.SAME
    assert error.status == 200
    assert 0 < len(error.message) <= 500


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"message": "busy", "code": "server_is_overloaded"}, ErrorClass.OVERLOADED),
        ({"message": "slow", "code": "rate_limit_exceeded"}, ErrorClass.RATE_LIMITED),
        ({"message": "Provider returned error", "code": 429}, ErrorClass.RATE_LIMITED),
        ({"message": "upstream", "code": 502}, ErrorClass.SERVER_ERROR),
        ({"message": "what", "code": "new_code"}, ErrorClass.MALFORMED_ANSWER),
        ("something broke", ErrorClass.MALFORMED_ANSWER),
        (["?"], ErrorClass.MALFORMED_ANSWER),
    ],
)
def test_an_error_inside_a_success_is_that_error(error: Any, expected: ErrorClass) -> None:
    assert the_error({"error": error}).error_class is expected
    assert the_error(a_completion(error=error)).error_class is expected


def test_a_flat_error_inside_a_success_is_that_error() -> None:
    assert the_error({"object": "error", "message": "no", "code": 503}).error_class is ErrorClass.OVERLOADED


def test_an_error_in_place_of_a_choice_is_that_error() -> None:
    choice = a_choice(finish="error") | {"error": {"code": 503, "message": "upstream is full"}}
    assert the_error(a_completion(choice)).error_class is ErrorClass.OVERLOADED
    assert the_error(a_completion(a_choice(finish="error"))).error_class is ErrorClass.SERVER_ERROR


def test_fewer_choices_than_asked_for_is_malformed() -> None:
    assert the_error(a_completion(a_choice()), items=2).error_class is ErrorClass.MALFORMED_ANSWER


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


@pytest.mark.parametrize("vector", [[0.5, -1], [1], [0.0], packed(0.5, 1.0)])
def test_vectors_are_numbers_or_base64(vector: Any) -> None:
    answer = the_answer(a_list(vector, vector), EMBEDDINGS, items=2)
    assert answer.usage == Usage(
        input_tokens=7,
        cache_read_tokens=0,
        cache_write_tokens=0,
        output_tokens=0,
        reasoning_tokens=0,
        source=UsageSource.REPORTED,
    )


BAD_EMBEDDINGS: list[Any] = [
    b"",
    b"<html>",
    {},
    a_completion(),
    {"data": []},
    {"data": None},
    {"data": {}},
    {"data": [None]},
    {"data": [{}]},
    a_list(None),
    a_list([]),
    a_list([None]),
    a_list(["0.5"]),
    a_list([True]),
    a_list([[0.5]]),
    a_list([0.5, None]),
    a_list(""),
    a_list("no base64!"),
    a_list("AAA="),
    a_list("é"),
    a_list([0.5], [0.5, 0.5]),
    a_list([0.5], []),
    {"data": [{"index": 1, "embedding": [0.5]}]},
    {"data": [{"index": 0, "embedding": [0.5]}] * 2},
]


@pytest.mark.parametrize("bad", BAD_EMBEDDINGS, ids=range(len(BAD_EMBEDDINGS)))
def test_what_is_no_complete_embeddings_answer_is_malformed(bad: Any) -> None:
    assert the_error(bad, EMBEDDINGS).error_class is ErrorClass.MALFORMED_ANSWER


def test_another_number_of_embeddings_than_inputs_is_malformed() -> None:
    assert the_error(a_list([0.5]), EMBEDDINGS, items=2).error_class is ErrorClass.MALFORMED_ANSWER


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**19) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "message",
                    "role",
                    "content",
                    "index",
                    "finish_reason",
                    "usage",
                    "error",
                    "data",
                    "embedding",
                ]
            )
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values, st.sampled_from((CHAT, EMBEDDINGS)))
def test_no_json_makes_it_fail(value: Any, endpoint: Endpoint) -> None:
    try:
        body = orjson.dumps(value)
    except TypeError:  # integers beyond 64 bits
        body = str(value).encode()
    assert isinstance(read(body, endpoint), Answer | CallError)


@given(st.binary(max_size=200), st.sampled_from((CHAT, EMBEDDINGS)))
def test_no_bytes_make_it_fail(body: bytes, endpoint: Endpoint) -> None:
    assert isinstance(read(body, endpoint), CallError)


HALF = b'"\\ud83d"'


def test_an_answer_that_was_cut_in_the_middle_of_an_emoji_is_an_answer() -> None:
    body = orjson.dumps(a_completion(a_choice(content="EMOJI", finish="length")))
    answer = the_answer(body.replace(b'"EMOJI"', HALF))
    assert (answer.model, answer.usage.input_tokens) == ("gpt-5-mini-2026-01-01", 20)


def test_half_a_surrogate_pair_names_no_model() -> None:
    body = orjson.dumps(a_completion(model="EMOJI")).replace(b'"EMOJI"', HALF)
    assert the_answer(body).model is None


@pytest.mark.parametrize(
    "body",
    [b'{"a":' + HALF + b',"b":NaN}', b"[" * 100_000 + HALF, HALF[:-1], HALF + b"\xff", b'{"error":{"x":%b}}' % HALF],
)
def test_what_the_patient_parser_does_not_take_either_is_no_answer(body: bytes) -> None:
    assert the_error(body)


@pytest.mark.parametrize(
    "broken",
    [
        a_completion(a_choice(finish=None)),
        a_completion(error={"message": "it broke", "code": "server_error"}),
        a_completion(a_choice() | {"error": {"message": "it broke"}}),
    ],
)
def test_usage_that_is_reported_beside_a_fault_is_kept(broken: Any) -> None:
    usage = the_error(broken).usage
    assert (usage.input_tokens, usage.output_tokens, usage.source) == (20, 10, UsageSource.REPORTED)


def test_a_fault_without_usage_has_none() -> None:
    assert the_error(a_completion(a_choice(finish=None), usage=None)).usage == NO_USAGE
