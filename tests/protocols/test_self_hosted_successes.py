"""Successes of servers that people run themselves: wrong ones are caught and honest ones pass, from the first on.

`bad_answers/self_hosted` holds what was asked for and what came back with status 200. A long text in a request is
written as `{before, fill, times, after}`. `class` is what it must be found to be, null: a success; `usage` says whether
its counts are believed; `window` is what the server says it has.
"""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from broker.catalog.lookup import providers
from broker.domain.attempt import AttemptState, ErrorClass, Scope
from broker.domain.job import Endpoint, Job, JobKey
from broker.domain.usage import UsageSource
from broker.limits.estimate import Estimator
from broker.limits.facts import request_facts
from broker.wiring.known_models import known_caps
from tests.engines import an_account
from workers.classify import Verdict
from workers.endings import Responded
from workers.interpreter import Interpreter
from workers.judge import Judge
from workers.masking import Masking

FOLDER = Path(__file__).parent / "bad_answers/self_hosted"
ENDPOINTS = {"chat": Endpoint.CHAT_COMPLETIONS, "embeddings": Endpoint.EMBEDDINGS}
SELF_HOSTED = [name for name, provider in providers().items() if provider.facts.self_hosted]


def entries(name: str) -> list[dict[str, Any]]:
    value: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return value


def filled(value: Any) -> Any:
    """The request with its long texts."""
    if isinstance(value, list):
        return [filled(each) for each in value]
    if not isinstance(value, dict):
        return value
    if "fill" in value:
        return f"{value['before']}{value['fill'] * value['times']}{value['after']}"
    return {key: filled(each) for key, each in value.items()}


def judged(case: dict[str, Any], provider: str, *, learned: int = 0) -> Verdict:
    """What a worker makes of a case; `learned` is how often it met the same before, and believed it."""
    account = an_account(provider=provider, facts=providers()[provider].facts, models={"m": "m"})
    request = filled(case["request"])
    endpoint, body = ENDPOINTS[case["endpoint"]], orjson.dumps(request)
    job = Job(key=JobKey(1, 0), custom_id="row", endpoint=endpoint, route="m", body=body)
    facts = request_facts(body, request, model="m", batch_id=1, endpoint=endpoint)
    said = Interpreter(account, caps=known_caps(account)).said(job, request, logical="m", model="m")
    judge = Judge(account=account, masking=Masking(None), estimator=Estimator())
    ending = Responded(status=200, headers={}, body=json.dumps(case["body"]).encode())
    for _ in range(learned):
        verdict = judge.verdict(job, facts, said, ending, context_window=case["window"], now=0.0)
        if verdict.answer is not None:
            judge.estimator.learn(facts, verdict.answer.usage)
    return judge.verdict(job, facts, said, ending, context_window=case["window"], now=0.0)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in entries("wrong")])
@pytest.mark.parametrize("provider", SELF_HOSTED)
def test_a_wrong_success_is_caught(case: dict[str, Any], provider: str) -> None:
    verdict = judged(case, provider)
    if case["class"] is None:
        assert verdict.answer is not None
        assert verdict.answer.usage.source is UsageSource.MISSING
        return
    error = verdict.error
    assert error is not None
    cut = case["class"] == "too_large"
    assert (verdict.state, error.error_class) == (AttemptState.FAILED, ErrorClass(case["class"]))
    assert (error.scope, error.code) == ((Scope.OTHER, "prompt_cut") if cut else (Scope.SAME, None))
    assert error.status == 200
    reported = case["body"]["usage"]
    assert (error.usage.input_tokens, error.usage.source) == (reported["prompt_tokens"], UsageSource.REPORTED)


@pytest.mark.parametrize("learned", [0, 60])
@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in entries("honest")])
def test_an_honest_success_passes(case: dict[str, Any], learned: int) -> None:
    verdict = judged(case, "ollama", learned=learned)
    assert verdict.error is None
    assert verdict.answer is not None
    assert verdict.answer.usage.source is UsageSource.REPORTED


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in entries("wrong")])
def test_a_vendor_is_believed(case: dict[str, Any]) -> None:
    """Whose answers come as they are, and are the producer's to judge."""
    assert judged(case, "openai").error is None


def test_the_corpus_is_well_formed() -> None:
    cases = [*entries("wrong"), *entries("honest")]
    assert len({case["name"] for case in cases}) == len(cases)
    keys = {"name", "endpoint", "request", "window", "body", "class", "usage", "source"}
    assert all(case.keys() == keys for case in cases)
    assert len(entries("wrong")) >= 30
    assert len(entries("honest")) >= 20
    assert all(case["class"] is None and case["usage"] == "reported" for case in entries("honest"))
