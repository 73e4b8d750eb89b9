"""How an answer is to be made, in Anthropic's words: limits, sampling, stops, tiers, identity."""

from dataclasses import replace
from typing import Any

import pytest

from broker.domain.loss import LossClass
from broker.protocols.anthropic_messages.version import HEADER, NEW, OLD
from broker.protocols.canonical.request import Sampling
from tests.protocols.anthropic_messages.builders import (
    FIRST_ADAPTIVE,
    MANUAL,
    NEWEST,
    a_request,
    dropped,
    refused,
    sent,
    user,
)


def test_a_limit_is_supplied_where_none_was_said_and_told() -> None:
    outcome = sent(a_request(max_output_tokens=None), replace(NEWEST, max_output_tokens=64_000))
    assert outcome.body["max_tokens"] == 64_000
    assert outcome.codes == ["limit_supplied"]
    assert outcome.losses[0].loss_class is LossClass.SEMANTIC
    assert sent(a_request(max_output_tokens=None), replace(NEWEST, max_output_tokens=None)).body["max_tokens"] == 32_000


def test_sampling_is_written_for_a_model_that_takes_it_by_the_older_version() -> None:
    outcome = sent(a_request(sampling=Sampling(temperature=0.5, top_p=0.9, top_k=3)), MANUAL)
    assert {name: outcome.body[name] for name in ("temperature", "top_p", "top_k")} == {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 3,
    }
    assert outcome.written.headers == {HEADER: OLD}


@pytest.mark.parametrize("caps", [NEWEST, replace(MANUAL, anthropic_version=NEW)])
def test_sampling_is_refused_where_it_is_taken_no_more(caps: Any) -> None:
    request = a_request(sampling=Sampling(temperature=0.5, top_k=3))
    assert refused(request, caps) == [("unsupported_field", "/temperature"), ("unsupported_field", "/top_k")]
    outcome = dropped(request, caps)
    assert outcome.written.headers == {HEADER: NEW}
    assert not outcome.body.keys() & {"temperature", "top_k"}


def test_what_happens_anyway_is_no_loss() -> None:
    sampling = Sampling(temperature=1, top_p=1.0, presence_penalty=0, frequency_penalty=0.0, logprobs=False)
    outcome = sent(a_request(sampling=sampling))
    assert {loss.loss_class for loss in outcome.losses} == {LossClass.HINT}
    assert len(outcome.losses) == 5


def test_a_version_that_is_forced_is_sent() -> None:
    assert sent(a_request(), replace(NEWEST, anthropic_version=OLD)).written.headers == {HEADER: OLD}


def test_a_temperature_above_one_is_clamped() -> None:
    request = a_request(sampling=Sampling(temperature=1.4))
    caps = replace(MANUAL, temperature_max=1.0)
    assert refused(request, caps) == [("clamped", "/temperature")]
    assert dropped(request, caps).body["temperature"] == 1.0


def test_one_of_temperature_and_top_p_is_sent_where_both_are_too_many() -> None:
    outcome = dropped(
        a_request(sampling=Sampling(temperature=0.2, top_p=0.5)), replace(MANUAL, temperature_with_top_p=False)
    )
    assert (outcome.body["temperature"], "top_p" in outcome.body) == (0.2, False)
    assert outcome.codes == ["unsupported_field"]


FOREIGN: list[dict[str, Any]] = [
    {"seed": 1},
    {"presence_penalty": 0.5},
    {"frequency_penalty": 0.5},
    {"logprobs": True},
    {"top_logprobs": 2},
    {"logit_bias": {"1": 5}},
    {"verbosity": "low"},
]


@pytest.mark.parametrize("field", FOREIGN)
def test_what_anthropic_does_not_know_is_refused_by_name(field: dict[str, Any]) -> None:
    request = a_request(sampling=Sampling(**field))
    (name,) = field
    assert refused(request, MANUAL) == [("unsupported_field", f"/{name}")]
    assert name not in dropped(request, MANUAL).body


def test_blank_stops_are_refused_or_left_out() -> None:
    request = a_request(stop=("END", "\n"))
    assert refused(request) == [("blank_stop", "/stop")]
    assert dropped(request).body["stop_sequences"] == ["END"]
    assert "stop_sequences" not in dropped(a_request(stop=(" ",))).body
    assert refused(a_request(stop=("END",)), replace(NEWEST, stop=False)) == [("unsupported_field", "/stop")]


def test_several_answers_are_several_calls() -> None:
    outcome = sent(a_request(n=3))
    assert outcome.written.fan_out == 3
    assert [(loss.code, loss.loss_class) for loss in outcome.losses] == [("fan_out", LossClass.SEMANTIC)]


@pytest.mark.parametrize(
    ("tier", "written", "codes"),
    [
        ("auto", "auto", []),
        ("default", "standard_only", []),
        ("flex", None, ["unsupported_field"]),
        ("priority", None, ["unsupported_field"]),
    ],
)
def test_tiers_are_named_in_anthropic_s_words(tier: str, written: str | None, codes: list[str]) -> None:
    outcome = sent(a_request(service_tier=tier))
    assert outcome.body.get("service_tier") == written
    assert outcome.codes == codes


def test_identity_is_a_hint() -> None:
    outcome = sent(a_request(user_id="u1", metadata={"a": "b"}))
    assert outcome.body["metadata"] == {"user_id": "u1"}
    assert [loss.loss_class for loss in outcome.losses] == [LossClass.HINT]
    assert "metadata" not in sent(a_request(user_id="u" * 257)).body


def test_the_same_request_is_written_the_same() -> None:
    request = a_request(user("a", "b"), sampling=Sampling(temperature=0.1), n=2)
    assert dropped(request, FIRST_ADAPTIVE).body == dropped(request, FIRST_ADAPTIVE).body
