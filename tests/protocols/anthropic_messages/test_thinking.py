"""How much to think is said to each generation of models in its own way, as far as the rest of the request allows."""

from dataclasses import replace
from typing import Any

import pytest

from broker.domain.caps import Caps, ThinkingForm
from broker.domain.loss import LossClass
from broker.protocols.canonical.request import ChoiceMode, Reasoning, Request, Sampling, Thinking, ToolChoice
from tests.protocols.anthropic_messages.builders import (
    FIRST_ADAPTIVE,
    MANUAL,
    NEWEST,
    a_call,
    a_request,
    a_result,
    a_tool,
    assistant,
    dropped,
    refused,
    sent,
    user,
)

ON, OFF, AUTO = Thinking.ON, Thinking.OFF, Thinking.AUTO


def thinking(
    mode: Thinking, effort: str | None = None, budget: int | None = None, *, summary: bool | None = None, **changes: Any
) -> Request:
    reasoning = Reasoning(mode=mode, effort=effort, budget_tokens=budget, summary=summary, path="/effort")
    return replace(a_request(), reasoning=reasoning, **{"max_output_tokens": 64_000, **changes})


@pytest.mark.parametrize(
    ("request_", "budget"),
    [
        (thinking(ON, "minimal"), 1024),
        (thinking(ON, "low"), 1024),
        (thinking(ON, "medium"), 8192),
        (thinking(ON, "high"), 24_576),
        (thinking(ON, "max"), 24_576),
        (thinking(ON, budget=5000), 5000),
        (thinking(AUTO), 8192),
        (thinking(ON, "high", max_output_tokens=4096), 3072),
        (thinking(ON, "high", max_output_tokens=1200), 1024),
        (thinking(ON, "low", max_output_tokens=1025), 1024),
    ],
)
def test_models_with_a_budget_get_one_below_the_limit(request_: Request, budget: int) -> None:
    outcome = sent(request_, MANUAL)
    assert outcome.body["thinking"] == {"type": "enabled", "budget_tokens": budget}
    assert 1024 <= budget < outcome.body["max_tokens"]
    assert outcome.losses == ()


def test_the_most_is_what_the_model_takes() -> None:
    outcome = sent(thinking(ON, "max"), replace(MANUAL, thinking_budget_max=32_000))
    assert outcome.body["thinking"]["budget_tokens"] == 32_000


@pytest.mark.parametrize(
    ("budget", "limit", "clamped"), [(100, 64_000, 1024), (9000, 2000, 1999), (30_000, 64_000, 24_576)]
)
def test_a_budget_that_does_not_fit_is_refused_or_clamped(budget: int, limit: int, clamped: int) -> None:
    request = thinking(ON, budget=budget, max_output_tokens=limit)
    assert refused(request, MANUAL) == [("clamped", "/effort")]
    assert dropped(request, MANUAL).body["thinking"]["budget_tokens"] == clamped


LOOP = (user("a"), assistant(a_call()), user(a_result("call_1", "x")))
OBSTACLES = [
    thinking(ON, "high", max_output_tokens=1024),
    thinking(ON, "high", tools=(a_tool(),), tool_choice=ToolChoice(mode=ChoiceMode.REQUIRED)),
    thinking(ON, "high", tools=(a_tool(),), tool_choice=ToolChoice(mode=ChoiceMode.REQUIRED, names=("look",))),
    thinking(ON, "high", tools=(a_tool(),), turns=LOOP),
]


@pytest.mark.parametrize("request_", OBSTACLES)
def test_thinking_gives_way_to_what_it_cannot_go_with(request_: Request) -> None:
    assert refused(request_, MANUAL) == [("thinking_dropped", "/effort")]
    outcome = dropped(request_, MANUAL)
    assert "thinking" not in outcome.body
    assert outcome.body["max_tokens"] == request_.max_output_tokens
    forced = request_.tool_choice is not None
    assert (outcome.body.get("tool_choice", {}).get("type") in ("any", "tool")) == forced


def test_thinking_goes_with_a_free_choice() -> None:
    choice = ToolChoice(mode=ChoiceMode.AUTO)
    outcome = sent(thinking(ON, "low", tools=(a_tool(),), tool_choice=choice), MANUAL)
    assert outcome.body["thinking"]["type"] == "enabled"


@pytest.mark.parametrize(
    ("request_", "config", "effort", "codes"),
    [
        (thinking(AUTO), {"type": "adaptive"}, None, []),
        (thinking(ON, "high"), {"type": "adaptive"}, "high", []),
        (thinking(ON, "xhigh"), {"type": "adaptive"}, "xhigh", []),
        (thinking(ON, "minimal"), {"type": "adaptive"}, "low", ["effort_renamed"]),
        (thinking(ON, budget=2048), {"type": "adaptive"}, "low", ["budget_to_effort"]),
        (thinking(ON, budget=8192), {"type": "adaptive"}, "medium", ["budget_to_effort"]),
        (thinking(ON, budget=8193), {"type": "adaptive"}, "high", ["budget_to_effort"]),
        (thinking(OFF), {"type": "disabled"}, None, []),
        (thinking(ON, "low", summary=True), {"type": "adaptive", "display": "summarized"}, "low", []),
        (thinking(AUTO, summary=False), {"type": "adaptive", "display": "omitted"}, None, []),
    ],
)
def test_models_that_adapt_get_an_effort(request_: Request, config: Any, effort: str | None, codes: list[str]) -> None:
    outcome = sent(request_)
    assert outcome.body["thinking"] == config
    assert outcome.body.get("output_config", {}).get("effort") == effort
    assert outcome.codes == codes
    assert all(loss.loss_class is LossClass.SEMANTIC for loss in outcome.losses)


def test_an_effort_that_is_not_known_is_refused_or_comes_near() -> None:
    caps = replace(NEWEST, efforts=("low", "medium", "high"))
    assert refused(thinking(ON, "max"), caps) == [("clamped", "/effort")]
    assert dropped(thinking(ON, "max"), caps).body["output_config"] == {"effort": "high"}


def test_a_model_that_always_thinks_thinks_least() -> None:
    caps = replace(NEWEST, thinking_off=False)
    assert refused(thinking(OFF), caps) == [("clamped", "/effort")]
    outcome = dropped(thinking(OFF), caps)
    assert (outcome.body["thinking"], outcome.body["output_config"]) == ({"type": "adaptive"}, {"effort": "low"})


def test_a_forced_tool_stops_the_first_models_that_adapt_and_no_later_ones() -> None:
    request = thinking(ON, "high", tools=(a_tool(),), tool_choice=ToolChoice(mode=ChoiceMode.REQUIRED))
    assert sent(request).body["thinking"] == {"type": "adaptive"}
    outcome = dropped(request, FIRST_ADAPTIVE)
    assert "thinking" not in outcome.body
    assert outcome.body["output_config"] == {"effort": "high"}
    assert outcome.codes == ["thinking_dropped"]


def test_a_model_with_efforts_only_gets_one() -> None:
    caps = replace(NEWEST, thinking=ThinkingForm.EFFORT)
    outcome = sent(thinking(ON, "low"), caps)
    assert "thinking" not in outcome.body
    assert outcome.body["output_config"] == {"effort": "low"}
    assert sent(thinking(OFF), caps).body["thinking"] == {"type": "disabled"}


@pytest.mark.parametrize("caps", [MANUAL, replace(MANUAL, thinking=ThinkingForm.NONE)])
def test_not_to_think_needs_no_words_where_nothing_is_thought(caps: Caps) -> None:
    outcome = sent(thinking(OFF), caps)
    assert not outcome.body.keys() & {"thinking", "output_config"}
    assert outcome.losses == ()


def test_a_model_that_does_not_think_cannot_be_told_to() -> None:
    caps = replace(MANUAL, thinking=ThinkingForm.NONE)
    assert refused(thinking(ON, "high"), caps) == [("unsupported_field", "/effort")]
    assert "thinking" not in dropped(thinking(AUTO), caps).body


@pytest.mark.parametrize("caps", [MANUAL, FIRST_ADAPTIVE])
@pytest.mark.parametrize(
    ("sampling", "refusals"),
    [
        (Sampling(temperature=0.5), [("unsupported_field", "/temperature")]),
        (Sampling(top_k=5), [("unsupported_field", "/top_k")]),
        (Sampling(top_p=0.5), [("unsupported_field", "/top_p")]),
        (Sampling(temperature=1), []),
        (Sampling(top_p=0.97), []),
    ],
)
def test_sampling_gives_way_to_thinking(caps: Caps, sampling: Sampling, refusals: list[tuple[str, str]]) -> None:
    request = thinking(ON, "low", sampling=sampling)
    assert refused(request, caps) == refusals
    outcome = dropped(request, caps)
    assert outcome.body["thinking"]["type"] in ("enabled", "adaptive")
    assert not outcome.body.keys() & {"temperature", "top_k"}
    assert outcome.body.get("top_p") == (0.97 if sampling.top_p == 0.97 else None)
    off = dropped(thinking(OFF, sampling=sampling), caps)
    assert off.body.keys() & {"temperature", "top_k", "top_p"}
