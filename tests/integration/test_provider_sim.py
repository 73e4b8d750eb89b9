"""The simulated provider over real HTTP: on loopback, on a free port, with a clock that tests move."""

import asyncio
import base64
import json
import signal
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
import uvloop

from broker.testing.manual_clock import ManualClock
from workers.provider_sim.answers import expected_embedding, expected_text
from workers.provider_sim.config import SimConfig
from workers.provider_sim.server import ProviderSim

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 20.0
Body = dict[str, Any]


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


class Caller:
    """A client of one simulator."""

    def __init__(self, sim: ProviderSim, clock: ManualClock, session: aiohttp.ClientSession) -> None:
        self.sim = sim
        self.clock = clock
        self.session = session

    async def post(self, body: Body | bytes, *, key: str = "sim", path: str = "/v1/chat/completions") -> "Got":
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {key}", "X-Client-Request-Id": "attempt-1"}
        async with self.session.post(self.sim.url + path, data=raw, headers=headers) as response:
            return Got(response.status, lowered(response.headers), await response.read())

    async def get(self, path: str, key: str = "sim") -> "Got":
        headers = {"Authorization": f"Bearer {key}"}
        async with self.session.get(self.sim.url + path, headers=headers) as response:
            return Got(response.status, lowered(response.headers), await response.read())

    def outcomes(self) -> list[str]:
        return [row.outcome for row in self.sim.ledger]


class Got:
    """A response that was read to its end."""

    def __init__(self, status: int, headers: dict[str, str], raw: bytes) -> None:
        self.status = status
        self.headers = headers
        self.raw = raw

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def error(self) -> Body:
        error: Body = self.json["error"]
        return error


def a_chat(text: str = "hello", **fields: object) -> Body:
    return {"model": "gpt-5-mini", "messages": [{"role": "user", "content": text}], **fields}


def with_sim(check: Callable[[Caller], Awaitable[None]], *, on_uvloop: bool = False, **config: object) -> None:
    """Run `check` against a simulator; every call gets a connection of its own."""

    async def run() -> None:
        clock = ManualClock()
        async with asyncio.timeout(DEADLINE_S), ProviderSim(SimConfig.model_validate(config), clock=clock) as sim:
            connector = aiohttp.TCPConnector(force_close=True)
            async with aiohttp.ClientSession(connector=connector) as session:
                await check(Caller(sim, clock, session))

    if on_uvloop:
        uvloop.run(run())
    else:
        asyncio.run(run())


def always(kind: str, **faults: object) -> Body:
    return {"probability": {kind: 1.0}, **faults}


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until the condition holds; the test's deadline bounds it."""
    while not condition():  # noqa: ASYNC110 - the event is inside the simulator, which must not know of tests
        await asyncio.sleep(0)


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
        (a_chat(), "sim", "/v1/responses", 404, None),
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


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("rate_limited", 429, "rate_limit_exceeded"),
        ("rate_limited_no_hint", 429, "rate_limit_exceeded"),
        ("quota_exhausted", 429, "insufficient_quota"),
        ("server_error", 500, None),
        ("bad_gateway", 502, None),
        ("unavailable", 503, None),
        ("overloaded", 503, "server_is_overloaded"),
        ("site_overloaded", 529, "overloaded"),
    ],
)
def test_an_error_fault_answers_with_its_status_and_is_not_paid(kind: str, status: int, code: str | None) -> None:
    async def check(caller: Caller) -> None:
        got = await caller.post(a_chat())
        assert got.status == status
        assert ("retry-after" in got.headers) == (kind == "rate_limited")
        if code is not None:
            assert got.error["code"] == code
        assert len(caller.sim.ledger) == 0
        assert caller.sim.stats()["faults"] == {kind: 1}

    with_sim(check, faults=always(kind))


@pytest.mark.parametrize("is_paid", [False, True])
@pytest.mark.parametrize("kind", ["html_page", "error_object", "empty_body", "wrong_shape"])
def test_a_malformed_fault_says_200_and_is_no_answer(kind: str, is_paid: bool) -> None:
    async def check(caller: Caller) -> None:
        got = await caller.post(a_chat())
        assert got.status == 200
        assert b"choices" not in got.raw
        assert caller.outcomes() == ([kind] if is_paid else [])

    with_sim(check, faults=always(kind, also_paid=[kind] if is_paid else []))


@pytest.mark.parametrize("faults", [{}, always("hang")])
def test_a_body_nested_too_deeply_is_refused_and_holds_no_slot(faults: Body) -> None:
    async def check(caller: Caller) -> None:
        tools = b"[" * 500 + b"]" * 500
        raw = json.dumps(a_chat(tools=[])).encode().replace(b'"tools": []', b'"tools": ' + tools)
        for _ in range(2):
            assert (await caller.post(raw)).status == 400
        stats: Any = caller.sim.stats()
        assert (stats["in_flight"], stats["keys"]["sim"]["in_flight"]) == (0, 0)

    with_sim(check, faults=faults, keys=[{"name": "sim", "concurrency": 1}])


def test_a_client_that_goes_while_sending_leaves_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    async def check(caller: Caller) -> None:
        port = int(caller.sim.url.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        await until(lambda: caller.sim.stats()["requests"] == 1)
        writer.transport.abort()
        assert (await caller.post(a_chat())).status == 200
        assert caller.sim.stats()["paid"] == 1

    with_sim(check)
    assert caplog.records == []


@pytest.mark.parametrize("on_uvloop", [False, True])
@pytest.mark.parametrize(("kind", "outcomes"), [("reset_before", []), ("reset_after", ["reset_after"])])
def test_a_reset_is_a_tcp_reset_and_paid_only_after_generating(kind: str, outcomes: list[str], on_uvloop: bool) -> None:
    async def check(caller: Caller) -> None:
        port = int(caller.sim.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        raw = json.dumps(a_chat()).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sim\r\nContent-Length: {len(raw)}"
        )
        writer.write(head.encode() + b"\r\n\r\n" + raw)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        assert caller.outcomes() == outcomes

    with_sim(check, on_uvloop=on_uvloop, faults=always(kind))


@pytest.mark.parametrize("on_uvloop", [False, True])
def test_a_cut_body_ends_before_its_announced_length_and_is_paid(on_uvloop: bool) -> None:
    async def check(caller: Caller) -> None:
        with pytest.raises(aiohttp.ClientPayloadError):
            await caller.post(a_chat())
        assert caller.outcomes() == ["cut_body"]

    with_sim(check, on_uvloop=on_uvloop, faults=always("cut_body"))


@pytest.mark.parametrize(("also_paid", "outcomes"), [(["hang"], ["hang"]), ([], [])])
def test_a_hang_lasts_until_the_client_goes(also_paid: list[str], outcomes: list[str]) -> None:
    async def check(caller: Caller) -> None:
        async with asyncio.TaskGroup() as group:
            call = group.create_task(caller.post(a_chat()))
            await until(lambda: caller.sim.stats()["in_flight"] == 1)
            call.cancel()
        await until(lambda: caller.sim.stats()["in_flight"] == 0)
        assert caller.outcomes() == outcomes

    with_sim(check, faults=always("hang", also_paid=also_paid))


def test_a_slow_drip_is_the_right_answer_byte_by_byte() -> None:
    async def check(caller: Caller) -> None:
        async with asyncio.TaskGroup() as group:
            call = group.create_task(caller.post(a_chat("drip")))
            sent = 0
            while not call.done():
                if caller.clock.sleepers:
                    caller.clock.advance(1.0)
                    sent += 1
                await asyncio.sleep(0)
        assert call.result().json["choices"][0]["message"]["content"] == expected_text("drip")
        assert sent == len(call.result().raw)
        assert caller.outcomes() == ["complete"]

    with_sim(check, faults=always("slow_drip"))


def test_a_drip_that_the_client_leaves_is_aborted() -> None:
    async def check(caller: Caller) -> None:
        async with asyncio.TaskGroup() as group:
            call = group.create_task(caller.post(a_chat()))
            await until(lambda: caller.clock.sleepers == 1)
            call.cancel()
        await until(lambda: caller.sim.stats()["in_flight"] == 0)
        assert caller.outcomes() == ["aborted"]

    with_sim(check, faults=always("slow_drip"))


def test_a_capped_fault_lets_the_retry_through_whatever_the_account_calls_the_model() -> None:
    async def check(caller: Caller) -> None:
        assert (await caller.post(a_chat(model="one"))).status == 500
        assert (await caller.post(a_chat(model="two"))).status == 200

    with_sim(check, faults=always("server_error", at_most_per_request={"server": 1}))


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


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "workers.provider_sim", *arguments]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_process_says_where_it_listens_and_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    ready = tmp_path / "ready"
    arguments = command("--port", "0", "--key", "a=600", "--ready-file", str(ready))
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            line = process.stdout.readline()
            assert ready.read_text().strip() in line
            process.send_signal(number)
            # Not communicate(): it would miss what readline has buffered.
            output, errors = process.stdout.read(), process.stderr.read()
            process.wait(DEADLINE_S)
        finally:
            process.kill()
    assert process.returncode == 0
    assert errors == ""
    assert "base_url" in output


def test_the_process_names_a_wrong_key_and_starts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sim.toml"
    path.write_text('[[keys]]\nname = "a"\nrpm = 5\n')
    done = subprocess.run(
        command("--config", str(path)), cwd=ROOT, capture_output=True, text=True, check=False, timeout=DEADLINE_S
    )
    assert done.returncode == 2
    assert "keys.0.rpm: unknown key" in done.stderr


def test_a_port_that_is_taken_is_an_error_not_a_trace() -> None:
    async def check(caller: Caller) -> None:
        port = caller.sim.url.rpartition(":")[2]
        process = await asyncio.create_subprocess_exec(
            *command("--port", port), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        _, errors = await process.communicate()
        assert process.returncode == 2
        assert b"Traceback" not in errors

    with_sim(check)
