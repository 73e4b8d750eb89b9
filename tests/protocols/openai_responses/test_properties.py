"""No JSON makes the codec raise anything but what it may, and nothing that it is given is changed."""

import json
from contextlib import suppress
from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response

from broker.domain.attempt import CallError
from broker.domain.usage import UsageSource
from broker.protocols.canonical.answer import Answer, Finish, Output
from broker.protocols.canonical.parts import CallPart, ReasoningPart, RefusalPart, TextPart
from broker.protocols.canonical.request import Request
from broker.protocols.losses import MalformedRequest
from broker.protocols.openai_responses import CODEC
from tests.protocols.openai_responses.test_golden import ANSWERS, REQUESTS

texts = st.text(st.characters(codec=None), max_size=8)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def spoilt(draw: st.DrawFn, bodies: list[dict[str, Any]]) -> dict[str, Any]:
    """A documented body in which a few values are replaced by anything, or are gone."""
    body = deepcopy(draw(st.sampled_from(bodies)))["body"]
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(body))
        holder, key = draw(st.sampled_from(places))
        if draw(st.booleans()):
            holder[key] = draw(json_values)
        elif isinstance(holder, dict):
            del holder[key]
        if not body:
            break
    result: dict[str, Any] = body
    return result


def _places(value: Any) -> Any:
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


@given(spoilt(REQUESTS) | st.dictionaries(st.sampled_from(["input", "tools", "text", "reasoning"]), json_values))
def test_reading_a_request_raises_nothing_but_what_is_malformed(body: dict[str, Any]) -> None:
    before = deepcopy(body)
    with suppress(MalformedRequest):
        assert isinstance(CODEC.read_request(body), Request)
    assert body == before


@given(spoilt(ANSWERS), st.booleans())
def test_reading_an_answer_never_raises(body: dict[str, Any], default_zero: bool) -> None:
    before = deepcopy(body)
    fault = CODEC.fault_of(body, 1)
    usage = CODEC.read_usage(body, details_default_zero=default_zero)
    if fault is None:
        answer = CODEC.read_answer(body, usage)
        assert len(answer.outputs) == 1
    assert body == before
    if usage.source is UsageSource.REPORTED:
        for part, whole in (
            (usage.cache_read_tokens, usage.input_tokens),
            (usage.cache_write_tokens, usage.input_tokens),
            (usage.reasoning_tokens, usage.output_tokens),
        ):
            assert part is None or whole is None or 0 <= part <= whole


@given(json_values, st.integers(100, 599))
def test_reading_an_error_never_raises(body: Any, status: int) -> None:
    raw = json.dumps(body).encode("utf-8", "surrogatepass")
    assert isinstance(CODEC.error_of(status, {}, raw, now=0.0), CallError)
    assert isinstance(CODEC.embedded_error(200, {}, body, now=0.0), CallError)


parts = st.lists(
    st.builds(TextPart, text=st.text())
    | st.builds(RefusalPart, text=st.text())
    | st.builds(ReasoningPart, text=st.text())
    | st.builds(
        CallPart, id=st.text(min_size=1), name=st.text(min_size=1), arguments=st.just({}), arguments_text=st.just("{}")
    ),
    max_size=5,
).map(tuple)


@given(parts, st.sampled_from(Finish), st.none() | json_values.filter(lambda value: isinstance(value, dict)))
def test_an_answer_is_written_as_the_sdk_wants_it_whatever_the_request_says(
    said: Any, finish: Finish, request: Any
) -> None:
    answer = Answer(
        model="m",
        usage=CODEC.read_usage({}, details_default_zero=True),
        outputs=(Output(index=0, parts=said, finish=finish),),
    )
    value = CODEC.write_answer(answer, request)
    Response.model_validate(value, strict=True)
    assert CODEC.write_answer(answer, request) == value
    items: Any = value["output"]
    assert len({item["id"] for item in items}) == len(items)


@given(spoilt(REQUESTS))
def test_any_request_is_echoed_without_raising(body: dict[str, Any]) -> None:
    answer = Answer(model="m", usage=CODEC.read_usage({}, details_default_zero=True))
    assert CODEC.write_answer(answer, body)["object"] == "response"
