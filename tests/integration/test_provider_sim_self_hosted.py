"""Servers that people run themselves: what the simulated ones say of themselves, and what they do without a word."""

from typing import Any

import pytest

from tests.simulated_protocols import ANTHROPIC, CHAT, GEMINI, RESPONSES, TEXT, TONGUES, Tongue
from tests.simulators import Caller, a_chat, with_sim
from workers.provider_sim.answers import expected_text

every_protocol = pytest.mark.parametrize("tongue", TONGUES, ids=lambda tongue: tongue.label.rpartition("/")[2])
LONG = "word " * 400


@every_protocol
def test_missing_usage_is_missing_and_still_in_the_ledger(tongue: Tongue) -> None:
    async def check(caller: Caller) -> None:
        got = await tongue.post(caller)
        assert got.status == 200
        assert tongue.usage(got.json) is None
        (row,) = caller.sim.ledger
        assert row.input_tokens > 0

    with_sim(check, self_hosted={"usage": "missing"})


@every_protocol
def test_a_request_beyond_the_window_is_refused_and_one_within_it_is_not(tongue: Tongue) -> None:
    words = {
        CHAT.label: "context_length_exceeded",
        RESPONSES.label: "context_length_exceeded",
        ANTHROPIC.label: "prompt is too long",
        GEMINI.label: "exceeds the maximum number of tokens allowed (300)",
    }
    small: dict[str, Any] = {"max_tokens": 100} if tongue is ANTHROPIC else {}

    async def check(caller: Caller) -> None:
        assert (await tongue.post(caller, **small)).status == 200
        got = await tongue.post(caller, LONG, **small)
        assert got.status == 400
        assert words[tongue.label].encode() in got.raw
        assert len(caller.sim.ledger) == 1
        tight: dict[str, Any] = {
            CHAT.label: {"max_tokens": 299},
            RESPONSES.label: {"max_output_tokens": 299},
            ANTHROPIC.label: {"max_tokens": 299},
            GEMINI.label: {"generationConfig": {"maxOutputTokens": 299}},
        }
        assert (await tongue.post(caller, **tight[tongue.label])).status == (200 if tongue is GEMINI else 400)
        stats: Any = caller.sim.stats()
        assert stats["rejected"] == {"context_exceeded": 1 if tongue is GEMINI else 2}

    with_sim(check, self_hosted={"context_window": 300})


@every_protocol
def test_a_truncated_request_is_answered_wrongly_without_a_word(tongue: Tongue) -> None:
    async def check(caller: Caller) -> None:
        got = await tongue.post(caller, LONG)
        assert got.status == 200
        assert tongue.says(got.json) == (TEXT, expected_text(LONG[-400:]))
        usage = tongue.usage(got.json)
        assert usage is not None
        assert usage[0] == 100
        assert tongue.says((await tongue.post(caller)).json) == (TEXT, expected_text("ask"))

    with_sim(check, self_hosted={"context_window": 100, "truncate": True})


@every_protocol
def test_an_ignored_schema_is_answered_with_prose(tongue: Tongue) -> None:
    async def check(caller: Caller) -> None:
        assert tongue.says((await tongue.post(caller, **tongue.schema)).json) == (TEXT, expected_text("ask"))

    with_sim(check, self_hosted={"schemas": "ignored"})


@pytest.mark.parametrize("tongue", [CHAT, RESPONSES], ids=["chat", "responses"])
def test_unparsable_arguments_are_no_json(tongue: Tongue) -> None:
    async def check(caller: Caller) -> None:
        got = await tongue.post(caller, **tongue.tool)
        assert got.status == 200
        with pytest.raises(ValueError, match=r"unexpected end|Unterminated"):
            tongue.says(got.json)

    with_sim(check, self_hosted={"tool_arguments": "unparsable"})


def test_where_arguments_are_objects_unparsable_ones_are_told_or_cannot_be() -> None:
    async def check(caller: Caller) -> None:
        content = (await GEMINI.post(caller, **GEMINI.tool)).json["candidates"][0]
        assert content["finishReason"] == "MALFORMED_FUNCTION_CALL"
        assert "content" not in content
        assert (await ANTHROPIC.post(caller, **ANTHROPIC.tool)).json["content"][0]["input"]

    with_sim(check, self_hosted={"tool_arguments": "unparsable"})


@pytest.mark.parametrize(
    ("engine", "path", "fact", "expected"),
    [
        ("vllm", "/version", "version", "1.2.3"),
        ("llama.cpp", "/props", "total_slots", 7),
        ("llama.cpp", "/props", "build_info", "1.2.3"),
        ("ollama", "/api/version", "version", "1.2.3"),
        ("tgi", "/info", "version", "1.2.3"),
        ("tgi", "/info", "max_total_tokens", 2048),
        ("tgi", "/info", "max_concurrent_requests", 7),
        ("sglang", "/get_server_info", "context_length", 2048),
        ("sglang", "/get_server_info", "max_running_requests", 7),
        ("sglang", "/get_model_info", "is_generation", True),
    ],
)
def test_each_engine_says_what_it_is_without_a_key(engine: str, path: str, fact: str, expected: object) -> None:
    async def check(caller: Caller) -> None:
        assert (await caller.get(path, headers={})).json[fact] == expected
        assert len(caller.sim.ledger) == 0

    with_sim(check, self_hosted={"engine": engine, "version": "1.2.3", "slots": 7, "context_window": 2048})


@pytest.mark.parametrize("engine", ["vllm", "llama.cpp", "tgi", "sglang"])
def test_an_engine_that_listens_is_healthy(engine: str) -> None:
    async def check(caller: Caller) -> None:
        assert (await caller.get("/health", headers={})).status == 200

    with_sim(check, self_hosted={"engine": engine})


def test_the_window_stands_where_each_engine_puts_it() -> None:
    async def vllm(caller: Caller) -> None:
        (model,) = (await caller.get("/v1/models")).json["data"]
        assert (model["id"], model["max_model_len"]) == ("m", 2048)
        assert (await caller.get("/v1/models", key="nobody")).status == 401

    async def llama_cpp(caller: Caller) -> None:
        assert (await caller.get("/props")).json["default_generation_settings"]["n_ctx"] == 2048
        slots = (await caller.get("/slots")).json
        assert [(slot["n_ctx"], slot["is_processing"]) for slot in slots] == [(2048, False)] * 4

    async def ollama(caller: Caller) -> None:
        shown = await caller.post({"model": "m"}, path="/api/show")
        assert shown.json["model_info"]["llama.context_length"] > 2048
        assert "num_ctx" in shown.json["parameters"]
        (running,) = (await caller.get("/api/ps")).json["models"]
        assert (running["name"], running["context_length"]) == ("m", 2048)

    for engine, check in (("vllm", vllm), ("llama.cpp", llama_cpp), ("ollama", ollama)):
        with_sim(check, models=["m"], self_hosted={"engine": engine, "context_window": 2048})


def test_no_engine_has_the_pages_of_another() -> None:
    async def check(caller: Caller) -> None:
        for path in ("/props", "/api/version", "/info", "/get_server_info"):
            assert (await caller.get(path)).status == 404
        assert (await caller.post(b"{}", path="/version")).status == 404

    with_sim(check, self_hosted={"engine": "vllm"})
    with_sim(lambda caller: absent(caller, "/version"))


async def absent(caller: Caller, path: str) -> None:
    assert (await caller.get(path)).status == 404


@pytest.mark.parametrize(
    ("engine", "status", "words"),
    [
        ("vllm", 400, "maximum context length is 300 tokens"),
        ("sglang", 400, "longer than the model's context length (300 tokens)"),
        ("tgi", 422, '"error_type":"validation"'),
        ("llama.cpp", 400, "exceed_context_size_error"),
        ("ollama", 400, "exceeds the context length"),
    ],
)
def test_each_engine_refuses_what_is_too_long_in_its_own_words(engine: str, status: int, words: str) -> None:
    async def check(caller: Caller) -> None:
        got = await caller.post(a_chat(LONG))
        assert got.status == status
        assert words.encode() in got.raw
        tight = await caller.post(a_chat(max_tokens=299))
        assert (tight.status == 200) == (engine in {"llama.cpp", "ollama"})

    with_sim(check, self_hosted={"engine": engine, "context_window": 300})
