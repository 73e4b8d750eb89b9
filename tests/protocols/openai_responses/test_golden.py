"""What OpenAI documents is read without a word being lost, and what is written satisfies OpenAI's own types."""

import json
from pathlib import Path
from typing import Any

import pytest
from openai import BaseModel
from openai.types.responses import Response
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import ValidationError

from broker.domain.dialect import Dialect
from broker.domain.loss import OnLoss
from broker.protocols.canonical.parts import OpaquePart, ReasoningPart
from broker.protocols.canonical.request import Request
from broker.protocols.conversation import prepared
from broker.protocols.losses import Losses
from broker.protocols.openai_responses import CODEC
from tests.protocols.strict_types import strict_adapter

HERE = Path(__file__).parent.parent
REQUESTS = [json.loads(path.read_text()) for path in sorted((HERE / "golden/openai-responses").glob("*.json"))]
ANSWERS = [json.loads(path.read_text()) for path in sorted((HERE / "golden_answers/openai-responses").glob("*.json"))]
FOREIGN = {"image_file_id", "pdf_file_id"}
"""They hold files of another account's, so nothing is written that could be read again."""
REQUEST_TYPE = strict_adapter(ResponseCreateParamsNonStreaming)


def named(entries: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(entry["body"], id=entry["name"]) for entry in entries]


def written(body: dict[str, Any]) -> tuple[dict[str, Any], Losses]:
    """The same request once more in its own dialect, by way of the canonical form."""
    request = CODEC.read_request(body)
    assert isinstance(request, Request)
    assert CODEC.write_request is not None
    losses = Losses(Dialect.OPENAI_RESPONSES, OnLoss.DROP)
    ready = prepared(
        request, caps=CODEC.caps, losses=losses, tool_names=CODEC.tool_names, call_ids=CODEC.call_ids
    ).request
    return CODEC.write_request(ready, model="gpt-5-mini", caps=CODEC.caps, losses=losses).body, losses


def strangers(value: BaseModel, path: str = "") -> list[str]:
    """Members of an answer that the SDK does not know."""
    found = [f"{path}/{name}" for name in value.model_extra or {}]
    for name in type(value).model_fields:
        inner = getattr(value, name)
        for index, one in enumerate(inner if isinstance(inner, list) else [inner]):
            if isinstance(one, BaseModel):
                found += strangers(one, f"{path}/{name}/{index}")
    return found


def test_there_is_enough_material() -> None:
    assert len(REQUESTS) >= 25
    assert len(ANSWERS) >= 10


@pytest.mark.parametrize("body", named(REQUESTS))
def test_material_is_what_the_sdk_would_send(body: dict[str, Any]) -> None:
    REQUEST_TYPE.validate_python(body)


def test_the_judge_refuses_members_that_the_sdk_does_not_know() -> None:
    with pytest.raises(ValidationError):
        REQUEST_TYPE.validate_python({"model": "m", "input": [{"role": "user", "content": "hi", "tone": "low"}]})


@pytest.mark.parametrize("body", named(REQUESTS))
def test_a_documented_request_holds_nothing_unknown(body: dict[str, Any]) -> None:
    request = CODEC.read_request(body)
    assert isinstance(request, Request)
    assert [lost for lost in request.unmapped if lost.code == "unknown_field"] == []


@pytest.mark.parametrize("body", named(REQUESTS))
def test_what_is_written_satisfies_the_sdk(body: dict[str, Any]) -> None:
    again, _ = written(body)
    REQUEST_TYPE.validate_python(again)


@pytest.mark.parametrize("body", named([entry for entry in REQUESTS if entry["name"] not in FOREIGN]))
def test_reading_and_writing_reach_a_fixed_point(body: dict[str, Any]) -> None:
    once, _ = written(body)
    twice, losses = written(once)
    assert twice == once
    assert [loss for loss in losses.noted if loss.code not in ("unsupported_field", "cache_mark")] == []


@pytest.mark.parametrize("body", named(ANSWERS))
def test_an_answer_written_again_satisfies_the_sdk_and_says_the_same(body: dict[str, Any]) -> None:
    assert CODEC.fault_of(body, 1) is None
    answer = CODEC.read_answer(body, CODEC.read_usage(body, details_default_zero=False))
    again = CODEC.write_answer(answer, {"model": "gpt-5-mini", "temperature": 1})
    assert strangers(Response.model_validate(again, strict=True)) == []
    assert CODEC.fault_of(again, 1) is None
    second = CODEC.read_answer(again, CODEC.read_usage(again, details_default_zero=False))
    assert second.usage == answer.usage
    assert second.outputs[0].finish is answer.outputs[0].finish
    assert said(second.outputs[0].parts) == said(answer.outputs[0].parts)
    assert again["id"] == body["id"]
    assert again["status"] == body["status"]
    assert again["incomplete_details"] == body["incomplete_details"]


def said(parts: tuple[Any, ...]) -> list[Any]:
    """Everything but what only the vendor can read."""
    shown = [part for part in parts if not isinstance(part, OpaquePart)]
    return [part.text if isinstance(part, ReasoningPart) else part for part in shown]
