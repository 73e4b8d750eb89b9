"""The simulated provider's accounts and books: keys, limits, slots, ledger, pages."""

import asyncio
import base64
import json
import struct
from typing import Any

import aiohttp
import openai
import pytest

from broker.testing.manual_clock import ManualClock
from tests.simulators import DEADLINE_S, Body, Caller, a_chat, always, until, with_sim
from workers.provider_sim.answers import expected_embedding, expected_text
from workers.provider_sim.config import SimConfig
from workers.provider_sim.server import ProviderSim


def test_a_chat_answer_derives_from_its_prompt_and_is_in_the_ledger() -> None:
    async def check(caller: Caller) -> None:
        got = await caller.post(a_chat("what is this?"))
        assert got.status == 200
        assert got.json["choices"][0]["message"]["content"] == expected_text("what is this?")
        (row,) = caller.sim.ledger
        usage = got.json["usage"]
        assert (row.input_tokens, row.output_tokens) == (usage["prompt_tokens"], usage["completion_tokens"])
        assert (row.client_request_id, row.key, row.outcome) == ("attempt-1", "sim", "complete")
        assert row.request_id == got.headers["x-request-id"]
        assert row.model == "gpt-5-mini"

    with_sim(check)


def test_the_vendors_own_client_understands_answers_embeddings_and_models() -> None:
    async def check(caller: Caller) -> None:
        async with openai.AsyncOpenAI(api_key="sim", base_url=caller.sim.base_url, max_retries=0) as client:
            chat = await client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "hi"}], n=2, max_completion_tokens=3
            )
            assert [choice.message.content for choice in chat.choices] == [expected_text("hi")] * 2
            assert [choice.finish_reason for choice in chat.choices] == ["length"] * 2
            assert chat.usage is not None
            assert chat.usage.prompt_tokens_details is not None
            assert chat.usage.prompt_tokens_details.cached_tokens == chat.usage.prompt_tokens // 2
            assert chat.usage.completion_tokens_details is not None
            assert chat.usage.completion_tokens_details.reasoning_tokens == 3
            vectors = await client.embeddings.create(model="e", input=["a", "b"], dimensions=20)
            for text, item in zip("ab", vectors.data, strict=True):
                assert item.embedding == expected_embedding(text, 20)
            assert [model.id async for model in client.models.list()] == ["m", "e"]
            with pytest.raises(openai.NotFoundError):
                await client.models.retrieve("other")

    with_sim(check, models=["m", "e"], usage={"cached_share": 0.5, "reasoning_share": 0.5})


def test_floats_and_base64_are_the_same_embedding() -> None:
    async def check(caller: Caller) -> None:
        plain = await caller.post({"model": "e", "input": "a"}, path="/v1/embeddings")
        packed = await caller.post({"model": "e", "input": "a", "encoding_format": "base64"}, path="/v1/embeddings")
        raw = base64.b64decode(packed.json["data"][0]["embedding"])
        assert list(struct.unpack("<8f", raw)) == plain.json["data"][0]["embedding"]

    with_sim(check)


@pytest.mark.parametrize(
    ("body", "key", "path", "status", "code"),
    [
        (a_chat(), "nobody", "/v1/chat/completions", 401, "invalid_api_key"),
        (b"{", "sim", "/v1/chat/completions", 400, None),
        (a_chat(model="other"), "sim", "/v1/chat/completions", 404, "model_not_found"),
        (a_chat(), "sim", "/v1/completions", 404, None),
        (a_chat(), "sim", "/sim/stats", 405, "method_not_supported"),
    ],
)
def test_a_wrong_request_costs_nothing(body: Body | bytes, key: str, path: str, status: int, code: str | None) -> None:
    async def check(caller: Caller) -> None:
        got = await caller.post(body, key=key, path=path)
        assert got.status == status
        assert got.error["code"] == code
        assert len(caller.sim.ledger) == 0

    with_sim(check, models=["gpt-5-mini"])


def test_a_client_that_waits_as_told_is_admitted() -> None:
    async def check(caller: Caller) -> None:
        for _ in range(2):
            got = await caller.post(a_chat())
            assert got.status == 200
        assert got.headers["x-ratelimit-limit-requests"] == "60"
        assert got.headers["x-ratelimit-remaining-requests"] == "58"
        assert got.headers["x-ratelimit-reset-requests"] == "2s"
        denied = await caller.post(a_chat())
        assert denied.status == 429
        assert denied.error["code"] == "rate_limit_exceeded"
        caller.clock.advance(int(denied.headers["retry-after-ms"]) / 1000)
        assert (await caller.post(a_chat())).status == 200
        stats: Any = caller.sim.stats()
        assert stats["rejected"] == {"requests": 1}
        assert stats["keys"]["sim"]["accepted_per_second"] == {"0": 2, "1": 1}

    with_sim(check, keys=[{"name": "sim", "requests_per_minute": 60, "window_s": 2}])


def test_slots_are_held_while_a_call_runs_and_freed_when_its_client_goes() -> None:
    async def check(caller: Caller) -> None:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(caller.post(a_chat("one")))
            await until(lambda: caller.clock.sleepers == 1)
            assert caller.outcomes() == ["running"]
            assert (await caller.post(a_chat("two"))).status == 429
            first.cancel()
        await until(lambda: caller.sim.stats()["in_flight"] == 0)
        assert caller.outcomes() == ["aborted"]
        async with asyncio.TaskGroup() as group:
            third = group.create_task(caller.post(a_chat("three")))
            await until(lambda: caller.clock.sleepers == 1)
            caller.clock.advance(5.0)
        assert third.result().headers["openai-processing-ms"] == "5000"
        assert caller.outcomes() == ["aborted", "complete"]

    with_sim(check, keys=[{"name": "sim", "concurrency": 1}], latency={"first_token_s": 5.0})


def test_the_same_seed_repeats_the_same_run() -> None:
    runs: list[list[int]] = []

    async def check(caller: Caller) -> None:
        got = [await caller.post(a_chat(f"row {row % 10}")) for row in range(30)]
        runs.append([answer.json["usage"]["completion_tokens"] if answer.status == 200 else 0 for answer in got])

    for seed in (1, 1, 2):
        with_sim(
            check, seed=seed, output={"mean_tokens": 50, "sigma": 0.5}, faults={"probability": {"overloaded": 0.3}}
        )
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert 0 < runs[0].count(0) < 30


@pytest.mark.parametrize(
    ("setting", "status", "code"),
    [("revoked", 401, "invalid_api_key"), ("exhausted", 429, "insufficient_quota")],
)
def test_a_key_ends_after_its_calls_or_at_its_time(setting: str, status: int, code: str) -> None:
    async def check(caller: Caller) -> None:
        assert [(await caller.post(a_chat(), key="calls")).status for _ in range(3)] == [200, 200, status]
        assert (await caller.post(a_chat(), key="time")).status == 200
        caller.clock.advance(30.0)
        got = await caller.post(a_chat(), key="time")
        assert (got.status, got.error["code"]) == (status, code)
        assert len(caller.sim.ledger) == 3

    with_sim(check, keys=[{"name": "calls", f"{setting}_after_calls": 2}, {"name": "time", f"{setting}_after_s": 30}])


def test_the_ledger_is_read_as_json_lines_from_any_row_on() -> None:
    async def check(caller: Caller) -> None:
        for row in range(1203):
            await caller.post(a_chat(f"row {row}"))
        lines = (await caller.get("/sim/ledger?since=1")).raw.splitlines()
        assert [json.loads(line)["n"] for line in lines] == list(range(1, 1203))
        assert (await caller.get("/sim/ledger?since=x")).status == 400
        stats = (await caller.get("/sim/stats")).json
        assert (stats["paid"], stats["outcomes"]) == (1203, {"complete": 1203})
        assert (await caller.get("/sim/health")).json == {"status": "ok"}

    with_sim(check)


def test_a_reset_opens_new_books_and_a_running_call_ends_in_the_old_ones() -> None:
    async def check(caller: Caller) -> None:
        old = caller.sim.ledger
        async with asyncio.TaskGroup() as group:
            call = group.create_task(caller.post(a_chat()))
            await until(lambda: caller.clock.sleepers == 1)
            assert (await caller.post(b"", path="/sim/reset")).status == 200
            caller.clock.advance(1.0)
        assert call.result().status == 200
        assert [row.outcome for row in old] == ["complete"]
        assert len(caller.sim.ledger) == 0
        assert caller.sim.stats()["in_flight"] == 0

    with_sim(check, latency={"first_token_s": 1.0})


def test_counts_keep_no_rows() -> None:
    async def check(caller: Caller) -> None:
        await caller.post(a_chat())
        assert caller.sim.stats()["paid"] == 1
        assert len(caller.sim.ledger) == 0
        assert (await caller.get("/sim/ledger")).status == 409

    with_sim(check, ledger="counts")


def test_stopping_ends_calls_in_progress() -> None:
    async def refused(caller: Caller) -> None:
        with pytest.raises(aiohttp.ClientError):
            await caller.post(a_chat())

    async def run() -> None:
        sim = ProviderSim(SimConfig.model_validate({"faults": always("hang")}))
        async with (
            asyncio.timeout(DEADLINE_S),
            aiohttp.ClientSession() as session,
            asyncio.TaskGroup() as group,
            sim,
        ):
            group.create_task(refused(Caller(sim, ManualClock(), session)))
            await until(lambda: sim.stats()["in_flight"] == 1)
        assert [row.outcome for row in sim.ledger] == ["stopped"]
        assert sim.stats()["in_flight"] == 0

    asyncio.run(run())
