"""What Anthropic documents is read without a word being lost, and what is written satisfies its own types."""

import json
from pathlib import Path
from typing import Any

import pytest

from broker.domain.caps import Caps
from broker.domain.dialect import Dialect
from broker.domain.loss import OnLoss
from broker.protocols import render_response, translate_request
from broker.protocols.anthropic_messages import CODEC
from broker.protocols.anthropic_messages.read_request import read_request
from broker.protocols.anthropic_messages.version import HEADER, NEW, OLD, version_headers
from broker.protocols.canonical.parts import OpaquePart, ReasoningPart
from broker.protocols.conversation import prepared
from broker.protocols.losses import Losses
from tests.protocols.anthropic_messages.builders import FIRST_ADAPTIVE, MANUAL
from tests.protocols.anthropic_messages.oracle import check_answer, check_request

HERE = Path(__file__).parent.parent
REQUESTS = [json.loads(path.read_text("utf-8")) for path in sorted((HERE / "golden/anthropic-messages").glob("*"))]
ANSWERS = [
    json.loads(path.read_text("utf-8")) for path in sorted((HERE / "golden_answers/anthropic-messages").glob("*"))
]
SUPERSEDED = {"old_output_format", "old_mcp_servers"}
"""Fields of betas, which the SDK types no more."""


def named(entries: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(entry["body"], id=entry["name"]) for entry in entries]


CURRENT = [entry for entry in REQUESTS if entry["name"] not in SUPERSEDED]


def rewritten(body: dict[str, Any], caps: Caps) -> tuple[dict[str, Any], dict[str, str], Losses]:
    """The same request once more in its own dialect, by way of the canonical form."""
    losses = Losses(Dialect.ANTHROPIC_MESSAGES, OnLoss.DROP)
    request = read_request(body)
    ready = prepared(request, caps=caps, losses=losses, tool_names=CODEC.tool_names, call_ids=CODEC.call_ids)
    assert CODEC.write_request is not None
    written = CODEC.write_request(ready.request, model=body["model"], caps=caps, losses=losses)
    return written.body, dict(written.headers), losses


def test_there_is_enough_material() -> None:
    assert len(REQUESTS) >= 25
    assert len(ANSWERS) >= 10
    assert all(entry["source"] for entry in (*REQUESTS, *ANSWERS))


@pytest.mark.parametrize("body", named(CURRENT))
def test_documented_requests_satisfy_the_sdk(body: dict[str, Any]) -> None:
    check_request(body, version_headers(body, Caps()))


@pytest.mark.parametrize("caps", [CODEC.caps, MANUAL, FIRST_ADAPTIVE])
@pytest.mark.parametrize("body", named(REQUESTS))
def test_what_is_read_and_written_again_satisfies_the_sdk(body: dict[str, Any], caps: Caps) -> None:
    again, headers, _ = rewritten(body, caps)
    check_request(again, headers)


ALIKE = {
    "hello",
    "system_string",
    "system_blocks",
    "turns",
    "image_base64",
    "image_url",
    "images_compared",
    "pdf_base64",
    "pdf_url",
    "document_text",
    "cache_marks",
    "tools",
    "tool_strict",
    "tool_choice_any",
    "tool_choice_tool",
    "tool_choice_none",
    "tool_choice_no_parallel",
    "tool_result",
    "tool_result_error",
    "tool_result_empty",
    "tool_result_image",
    "tool_results_parallel",
    "tool_arguments_exact",
    "output_schema",
    "output_schema_nested",
    "stop_sequences",
    "thinking_adaptive",
    "thinking_adaptive_effort",
    "thinking_disabled",
    "user_id",
    "service_tier_standard",
    "service_tier_auto",
    "unicode",
}
"""What says nothing that the canonical form does not hold."""


@pytest.mark.parametrize("body", named([entry for entry in REQUESTS if entry["name"] in ALIKE]))
def test_what_the_canonical_form_holds_comes_back_the_same(body: dict[str, Any]) -> None:
    again, headers, losses = rewritten(body, CODEC.caps)
    assert again == body
    assert headers == {HEADER: NEW}
    assert losses.settle() == ()


def test_nothing_that_is_called_the_same_is_missing() -> None:
    assert {entry["name"] for entry in REQUESTS} >= ALIKE


@pytest.mark.parametrize("body", named(REQUESTS))
def test_the_same_dialect_changes_the_model_only(body: dict[str, Any]) -> None:
    translation = translate_request(body, source=CODEC.dialect, target=CODEC.dialect, model="claude-other")
    assert translation.body == {**body, "model": "claude-other"}
    assert translation.path == "/v1/messages"


@pytest.mark.parametrize(("name", "version"), [("old_temperature", OLD), ("old_sampling", OLD), ("hello", NEW)])
def test_the_version_suits_what_is_said(name: str, version: str) -> None:
    body = next(entry["body"] for entry in REQUESTS if entry["name"] == name)
    assert version_headers(body, Caps()) == {HEADER: version}
    again, headers, _ = rewritten(body, MANUAL)
    assert headers == {HEADER: version}
    assert again == body


@pytest.mark.parametrize("body", named(ANSWERS))
def test_documented_answers_satisfy_the_sdk_and_are_no_fault(body: dict[str, Any]) -> None:
    check_answer(body)
    assert CODEC.fault_of(body, 1) is None


@pytest.mark.parametrize("body", named(ANSWERS))
def test_an_answer_comes_back_as_it_was(body: dict[str, Any]) -> None:
    """All but what the canonical form cannot hold, which only Anthropic's own tools say."""
    usage = CODEC.read_usage(body, details_default_zero=True)
    answer = CODEC.read_answer(body, usage)
    again = render_response(answer, dialect=CODEC.dialect)
    check_answer(again)
    for key in ("id", "type", "role", "model", "stop_reason", "stop_sequence"):
        assert again[key] == body[key]
    kinds = {"server_tool_use", "web_search_tool_result", "redacted_thinking"}
    kept = [block for block in body["content"] if block["type"] not in kinds and not block.get("citations")]
    blocks = [{key: value for key, value in block.items() if key != "citations"} for block in again["content"]]  # type: ignore[attr-defined]
    assert [block for block in blocks if block in kept] == kept
    assert CODEC.read_usage(again, details_default_zero=True) == usage
    parts = answer.outputs[0].parts
    assert len(parts) >= len(body["content"])
    assert sum(isinstance(part, OpaquePart) for part in parts) == sum(
        block["type"] in {"server_tool_use", "web_search_tool_result"} for block in body["content"]
    )
    assert sum(isinstance(part, ReasoningPart) for part in parts) == sum(
        "thinking" in block["type"] for block in body["content"]
    )
