"""What goes wrong at the simulated provider: statuses, bodies, connections, and who pays."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.simulators import Body, Caller, a_chat, always, until, with_sim
from workers.provider_sim.answers import expected_text


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
