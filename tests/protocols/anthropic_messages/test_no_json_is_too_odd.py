"""Whatever JSON comes, reading refuses it as malformed or understands it, and writes what it understood."""

import json
from copy import deepcopy
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.domain.attempt import CallError
from broker.domain.dialect import Dialect
from broker.domain.loss import OnLoss
from broker.protocols.anthropic_messages import CODEC
from broker.protocols.anthropic_messages.read_request import read_request
from broker.protocols.anthropic_messages.version import version_headers
from broker.protocols.canonical.request import Request
from broker.protocols.codec import Embedded
from broker.protocols.conversation import prepared
from broker.protocols.exact_json import written
from broker.protocols.losses import Losses, MalformedRequest
from tests.protocols.anthropic_messages.oracle import check_answer

SPOKEN = """
type role content text system user assistant tool_use tool_result thinking redacted_thinking image document source
base64 url file data media_type input name id tool_use_id messages max_tokens tools tool_choice auto any tool none
output_config format json_schema schema effort low enabled budget_tokens adaptive disabled metadata user_id usage
input_tokens output_tokens stop_reason end_turn message error details error_code cache_control ephemeral properties
additionalProperties oneOf minItems search_result title citations input_schema strict stop_sequences
"""
WORDS = SPOKEN.split()
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
KEYS = st.sampled_from(WORDS) | st.text(max_size=3)
VALUES = st.recursive(
    SCALARS | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=12,
)
BLOCKS = st.fixed_dictionaries(
    {"type": st.sampled_from(WORDS)},
    optional=dict.fromkeys(("text", "source", "content", "input", "cache_control", "is_error", "citations"), VALUES)
    | {name: st.text(max_size=3) for name in ("id", "name", "tool_use_id", "thinking", "data", "title")},
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system"]), "content": st.text() | st.lists(BLOCKS, max_size=3)}
    ),
    min_size=1,
    max_size=4,
)
BODIES = st.fixed_dictionaries(
    {"messages": MESSAGES | VALUES, "max_tokens": st.integers(0, 5000) | VALUES},
    optional=dict.fromkeys(("system", "tools", "tool_choice", "thinking", "output_config", "metadata"), VALUES),
)
ODD = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def read_or_malformed(body: dict[str, Any]) -> Request | None:
    try:
        return read_request(body)
    except MalformedRequest as refused:
        if refused.pointer and not refused.pointer.startswith("/"):
            raise AssertionError("a pointer begins with a slash") from refused
        return None


@ODD
@given(BODIES | st.dictionaries(KEYS, VALUES))
def test_a_request_is_read_or_malformed_and_what_is_read_is_written(body: dict[str, Any]) -> None:
    before = deepcopy(body)
    version_headers(body, CODEC.caps)
    request = read_or_malformed(body)
    if request is None:
        return
    losses = Losses(Dialect.ANTHROPIC_MESSAGES, OnLoss.DROP)
    ready = prepared(
        request, caps=CODEC.caps, losses=losses, tool_names=CODEC.tool_names, call_ids=CODEC.call_ids
    ).request
    assert CODEC.write_request is not None
    json.loads(written(CODEC.write_request(ready, model="m", caps=CODEC.caps, losses=losses).body))
    assert body == before


ANSWERS = st.fixed_dictionaries(
    {
        "type": st.just("message"),
        "role": st.just("assistant"),
        "content": st.lists(BLOCKS, max_size=4),
        "stop_reason": st.sampled_from(["end_turn", "tool_use", "refusal", "new"]) | VALUES,
    },
    optional=dict.fromkeys(("id", "model", "usage", "stop_sequence", "stop_details", "error"), VALUES),
)


@ODD
@given(ANSWERS | st.dictionaries(KEYS, VALUES))
def test_an_answer_has_a_fault_or_is_read_and_rendered(value: dict[str, Any]) -> None:
    usage = CODEC.read_usage(value, details_default_zero=False)
    fault = CODEC.fault_of(value, None)
    if isinstance(fault, Embedded):
        assert isinstance(CODEC.embedded_error(200, {}, fault.error, now=0.0), CallError)
    elif fault is None:
        check_answer(CODEC.write_answer(CODEC.read_answer(value, usage), value))


@ODD
@given(st.integers(300, 599), VALUES | st.fixed_dictionaries({"error": VALUES}), st.text(max_size=10))
def test_an_error_is_always_understood(status: int, value: Any, hint: str) -> None:
    error = CODEC.error_of(status, {"retry-after": hint}, json.dumps(value).encode(), now=0.0)
    assert 0 < len(error.message) <= 500
    CODEC.write_error(error)
