"""No JSON value makes this codec raise anything but `MalformedRequest`, or change what it was given."""

import copy
import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.domain.attempt import CallError
from broker.domain.loss import OnLoss
from broker.protocols import parse_response
from broker.protocols.canonical.answer import Answer
from broker.protocols.canonical.request import EmbeddingRequest
from broker.protocols.conversation import prepared
from broker.protocols.exact_json import written
from broker.protocols.gemini_generate_content import CODEC
from broker.protocols.losses import Losses, MalformedRequest

HERE = Path(__file__).parents[1]


def bodies(kind: str) -> list[Any]:
    paths = sorted((HERE / kind / CODEC.dialect).glob("*.json"))
    return [json.loads(path.read_text("utf-8"))["body"] for path in paths]


def names(value: Any) -> set[str]:
    """Every name in a JSON value."""
    if isinstance(value, dict):
        return set(value).union(*map(names, value.values()))
    return set().union(*map(names, value)) if isinstance(value, list) else set()


GOLDEN, ANSWERS = bodies("golden"), bodies("golden_answers")
ERRORS = json.loads((HERE / "errors" / f"{CODEC.dialect}.json").read_text("utf-8"))
NAMES = sorted(names(GOLDEN) | names(ANSWERS) | names([each["body"] for each in ERRORS]))
WORDS = ["user", "model", "STOP", "ANY", "STRING", "f", "application/json", "image/png", "AAAA", "LOW", "3", ""]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 3, 2**31, 10**30]),
    st.floats(),
    st.sampled_from(WORDS),
    st.text(max_size=3),
    st.just("\ud83d"),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text(max_size=3)), inner, max_size=4),
    ),
    max_leaves=30,
)
BODIES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6)


@st.composite
def broken(draw: st.DrawFn, bodies: list[Any]) -> Any:
    """A good body of which one value is another."""
    body = copy.deepcopy(draw(st.sampled_from(bodies)))
    holder: Any = body
    while True:
        keys: list[Any] = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = draw(st.sampled_from(keys))
        inner = holder[key]
        if not isinstance(inner, (dict, list)) or not inner or draw(st.integers(0, 3)) == 0:
            holder[key] = draw(VALUES)
            return body
        holder = inner


@settings(max_examples=200)
@given(st.one_of(BODIES, broken(GOLDEN)))
def test_any_body_is_read_and_written_or_malformed(body: dict[str, Any]) -> None:
    before = copy.deepcopy(body)
    CODEC.items_asked_for(body)
    CODEC.path("m", body)
    request, pointer = None, ""
    try:
        request = CODEC.read_request(body)
    except MalformedRequest as refused:
        pointer = refused.pointer
    assert repr(body) == repr(before)
    if request is None:
        assert not pointer or pointer.startswith("/")
        return
    losses = Losses(CODEC.dialect, OnLoss.DROP)
    assert CODEC.write_request is not None
    assert CODEC.write_embedding is not None
    if isinstance(request, EmbeddingRequest):
        CODEC.write_embedding(request, model="m", caps=CODEC.caps, losses=losses)
        return
    ready = prepared(request, caps=CODEC.caps, losses=losses, tool_names=CODEC.tool_names, call_ids=CODEC.call_ids)
    CODEC.write_request(ready.request, model="m", caps=CODEC.caps, losses=losses)
    assert repr(body) == repr(before)


@settings(max_examples=200)
@given(st.one_of(BODIES, broken(ANSWERS)), st.sampled_from([None, 1, 2]), st.sampled_from([200, 400, 429, 500]))
def test_any_answer_is_understood(value: dict[str, Any], items: int | None, status: int) -> None:
    fault = CODEC.fault_of(value, items)
    usage = CODEC.read_usage(value, details_default_zero=False)
    if fault is None:
        answer = CODEC.read_answer(value, usage)
        CODEC.write_answer(answer, None)
        CODEC.write_answer(answer, value)
    try:
        raw = written(value)
    except ValueError:  # no number, or infinite: no JSON
        return
    found = parse_response(CODEC.dialect, status, {}, raw)
    assert isinstance(found, Answer | CallError)
    assert isinstance(CODEC.embedded_error(status, {}, value.get("error"), now=0.0), CallError)
    if isinstance(found, CallError):
        CODEC.write_error(found)


@given(st.binary(max_size=40))
def test_any_bytes_are_understood(raw: bytes) -> None:
    assert isinstance(parse_response(CODEC.dialect, 500, {}, raw), CallError)


def test_what_is_nested_without_end_is_understood() -> None:
    depth = 900
    arguments = '{"a":' * depth + "1" + "}" * depth
    call = f'{{"functionCall":{{"name":"f","args":{arguments}}}}}'
    body = f'{{"candidates":[{{"finishReason":"STOP","content":{{"parts":[{call}]}}}}]}}'
    assert isinstance(parse_response(CODEC.dialect, 200, {}, body.encode()), Answer | CallError)
