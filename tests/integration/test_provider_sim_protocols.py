"""What holds in every protocol of the simulated provider: keys, limits, faults, schemas, tools and the ledger."""

from typing import Any

import orjson
import pytest

from tests.simulated_protocols import (
    ANTHROPIC,
    CALLS,
    CHAT,
    GEMINI,
    RESPONSES,
    SCHEMA,
    TEXT,
    TONGUES,
    Tongue,
    reason_of,
    wait_of,
)
from tests.simulators import Body, Caller, always, with_sim
from workers.provider_sim.answers import expected_arguments, expected_json, expected_text
from workers.provider_sim.prompts import prompt_of

every_protocol = pytest.mark.parametrize("tongue", TONGUES, ids=lambda tongue: tongue.label.rpartition("/")[2])


@every_protocol
def test_an_answer_is_its_prompts_and_its_usage_is_the_ledgers(tongue: Tongue) -> None:
    async def check(caller: Caller) -> None:
        got = await tongue.post(caller, "what is this?" * 20)
        assert got.status == 200
        prompt = prompt_of(tongue.ask("what is this?" * 20))
        assert tongue.says(got.json) == (TEXT, expected_text(prompt))
        (row,) = caller.sim.ledger
        tokens = (row.input_tokens, row.cached_tokens, row.output_tokens, row.reasoning_tokens)
        assert tongue.usage(got.json) == tokens
        assert min(tokens) > 0
        assert (row.path, row.model, row.key) == (tongue.label, "m", "sim")
        assert (row.client_request_id, row.outcome) == ("attempt-1", "complete")

    usage = {"cached_share": 0.4, "cache_written_share": 0.4, "reasoning_share": 0.4}
    with_sim(check, usage=usage, output={"mean_tokens": 50})


@every_protocol
def test_a_schema_is_followed_and_a_forced_tool_is_called(tongue: Tongue) -> None:
    async def check(caller: Caller) -> None:
        structured = await tongue.post(caller, **tongue.schema)
        kind, text = tongue.says(structured.json)
        assert kind == TEXT
        assert orjson.loads(str(text)) == expected_json("ask", SCHEMA)
        called = await tongue.post(caller, **tongue.tool)
        assert tongue.says(called.json) == (CALLS, [expected_arguments("ask", SCHEMA)])
        twice = await tongue.post(caller, "twice, please", **tongue.tool)
        wanted = [expected_arguments("twice, please", SCHEMA, nth) for nth in range(2)]
        assert tongue.says(twice.json) == (CALLS, wanted)

    with_sim(check)


@every_protocol
def test_a_schema_that_cannot_be_followed_is_refused_and_costs_nothing(tongue: Tongue) -> None:
    odd = orjson.loads(orjson.dumps(tongue.tool).replace(b'{"type":"integer"}', b'{"pattern":"^x{40}$"}'))

    async def check(caller: Caller) -> None:
        got = await tongue.post(caller, **odd)
        assert got.status == 400
        assert b"this `pattern` is not simulated" in got.raw
        assert len(caller.sim.ledger) == 0

    with_sim(check)


@every_protocol
def test_a_stranger_a_revoked_key_and_a_spent_one_are_refused_in_the_protocols_words(tongue: Tongue) -> None:
    async def check(caller: Caller) -> None:
        for key in ("nobody", "revoked"):
            got = await tongue.post(caller, key=key)
            assert got.status == tongue.bad_key[0]
            assert tongue.bad_key[1].encode() in got.raw
        assert (await tongue.post(caller, key="forbidden")).status == 403
        spent = await tongue.post(caller, key="spent")
        assert spent.status == tongue.spent[0]
        assert tongue.spent[1].encode() in spent.raw
        assert "retry-after" not in spent.headers
        broke = await tongue.post(caller, key="broke")
        assert broke.status == (400 if tongue is ANTHROPIC else 429)
        assert b"credit" in broke.raw
        assert len(caller.sim.ledger) == 0

    keys = [
        {"name": "sim"},
        {"name": "revoked", "revoked_after_calls": 0},
        {"name": "forbidden", "revoked_after_calls": 0, "revoked_form": "forbidden"},
        {"name": "spent", "exhausted_after_calls": 0},
        {"name": "broke", "exhausted_after_calls": 0, "exhausted_form": "credit_balance"},
    ]
    with_sim(check, keys=keys)


@every_protocol
def test_a_client_that_waits_as_told_is_admitted(tongue: Tongue) -> None:
    async def check(caller: Caller) -> None:
        assert (await tongue.post(caller)).status == 200
        denied = await tongue.post(caller)
        assert denied.status == 429
        caller.clock.advance(wait_of(denied))
        assert (await tongue.post(caller)).status == 200
        stats: Any = caller.sim.stats()
        assert stats["rejected"] == {"requests": 1}

    with_sim(check, keys=[{"name": "sim", "requests_per_minute": 70, "window_s": 1}])


@every_protocol
def test_limits_are_told_as_the_protocol_tells_them(tongue: Tongue) -> None:
    expected = {
        CHAT.label: {"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": "599"},
        RESPONSES.label: {"x-ratelimit-limit-requests": "600", "x-ratelimit-reset-requests": "100ms"},
        ANTHROPIC.label: {
            "anthropic-ratelimit-requests-limit": "600",
            "anthropic-ratelimit-requests-remaining": "599",
            "anthropic-ratelimit-input-tokens-limit": "9000",
        },
        GEMINI.label: {},
    }

    async def check(caller: Caller) -> None:
        got = await tongue.post(caller)
        told = {name: value for name, value in got.headers.items() if "ratelimit" in name}
        assert expected[tongue.label].items() <= told.items()
        assert bool(told) == bool(expected[tongue.label])
        if tongue is ANTHROPIC:
            assert told["anthropic-ratelimit-requests-reset"].endswith("Z")

    with_sim(check, keys=[{"name": "sim", "requests_per_minute": 600, "input_tokens_per_minute": 9000}])


@every_protocol
@pytest.mark.parametrize("kind", ["server_error", "overloaded", "site_overloaded"])
def test_a_server_fault_wears_the_protocols_status(tongue: Tongue, kind: str) -> None:
    async def check(caller: Caller) -> None:
        got = await tongue.post(caller)
        assert got.status == tongue.statuses[kind]
        assert got.error["message"]
        assert len(caller.sim.ledger) == 0

    with_sim(check, faults=always(kind))


@every_protocol
@pytest.mark.parametrize("kind", ["rate_limited", "rate_limited_no_hint"])
def test_a_fault_of_limits_hints_only_when_it_should(tongue: Tongue, kind: str) -> None:
    async def check(caller: Caller) -> None:
        got = await tongue.post(caller)
        assert got.status == 429
        if kind == "rate_limited":
            assert wait_of(got) == 3.0
        else:
            assert "retry-after" not in got.headers
            assert b"RetryInfo" not in got.raw

    with_sim(check, faults=always(kind, retry_after_s=3.0))


@every_protocol
@pytest.mark.parametrize("kind", ["html_page", "error_object", "empty_body", "wrong_shape"])
def test_a_200_that_is_no_answer_says_nothing_of_one(tongue: Tongue, kind: str) -> None:
    async def check(caller: Caller) -> None:
        got = await tongue.post(caller)
        assert got.status == 200
        assert expected_text("ask").encode() not in got.raw
        if kind == "error_object":
            assert got.error["message"]
        with pytest.raises((ValueError, KeyError, IndexError, TypeError)):
            tongue.says(got.json)

    with_sim(check, faults=always(kind))


@every_protocol
def test_the_same_request_is_the_same_whatever_the_account_calls_the_model(tongue: Tongue) -> None:
    async def check(caller: Caller) -> None:
        assert (await tongue.post(caller)).status == 500
        path = tongue.path.replace("/m:", "/other:")
        body = tongue.ask("ask") | ({"model": "other"} if tongue is not GEMINI else {})
        assert (await caller.post(body, path=path, headers=tongue.headers)).status == 200

    with_sim(check, faults=always("server_error", at_most_per_request={"server": 1}))


@every_protocol
def test_a_stop_a_refusal_and_a_filter_end_an_answer_as_the_protocol_says(tongue: Tongue) -> None:
    reasons = {
        CHAT.label: ("stop", "stop", "content_filter", "length"),
        RESPONSES.label: (None, "completed", "content_filter", "max_output_tokens"),
        ANTHROPIC.label: ("stop_sequence", "refusal", "refusal", "max_tokens"),
        GEMINI.label: ("STOP", "SAFETY", "PROHIBITED_CONTENT", "MAX_TOKENS"),
    }
    stops: dict[str, Body] = {
        CHAT.label: {"stop": " ["},
        ANTHROPIC.label: {"stop_sequences": [" ["]},
        GEMINI.label: {"generationConfig": {"stopSequences": [" ["]}},
    }
    cuts: dict[str, Body] = {
        CHAT.label: {"max_completion_tokens": 20},
        RESPONSES.label: {"max_output_tokens": 20},
        ANTHROPIC.label: {"max_tokens": 20},
        GEMINI.label: {"generationConfig": {"maxOutputTokens": 20}},
    }
    stop, refusal, blocked, cut = reasons[tongue.label]

    async def check(caller: Caller) -> None:
        if stop is not None:
            got = await tongue.post(caller, **stops[tongue.label])
            assert tongue.says(got.json) == (TEXT, expected_text("ask").partition(" [")[0])
            assert reason_of(got.json) == stop
        got = await tongue.post(caller, "[refuse]")
        assert reason_of(got.json) == refusal
        assert expected_text("[refuse]").encode() not in got.raw
        assert reason_of((await tongue.post(caller, "[block]")).json) == blocked
        got = await tongue.post(caller, **cuts[tongue.label])
        assert reason_of(got.json) == cut
        assert tongue.says(got.json) == (TEXT, expected_text("ask"))
        assert [row.output_tokens for row in caller.sim.ledger][-1] == 20

    with_sim(check, output={"mean_tokens": 40})
