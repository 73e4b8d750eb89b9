"""Over real HTTP on loopback: what the check says is about what really came back."""

import asyncio
import json
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aiohttp import web
from typer.testing import CliRunner

from broker.cli.account_check import MEANINGS, Finding, check_account
from broker.cli.accounts import accounts_app
from broker.domain.account import Account
from broker.domain.attempt import ErrorClass
from broker.domain.clock import SystemClock
from broker.domain.dialect import OPENAI_FAMILY

Handler = Callable[[web.BaseRequest], Coroutine[Any, Any, web.StreamResponse]]
CHAT = {
    "id": "c",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}
VECTORS = {
    "object": "list",
    "model": "m",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}],
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
}


def account(base_url: str, secret: str | None = None, provider: str = "openai-compatible") -> Account:
    return Account(
        name="a",
        provider=provider,
        protocols=OPENAI_FAMILY,
        base_url=base_url,
        models={"small": "big-7b"},
        secret=secret,
        timeout_seconds=5.0,
    )


def checked(handler: Handler, secret: str | None = None, provider: str = "openai-compatible") -> Finding:
    async def play() -> Finding:
        runner = web.ServerRunner(web.Server(handler))
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            return await check_account(account(f"http://127.0.0.1:{port}/v1", secret, provider), SystemClock())
        finally:
            await runner.cleanup()

    return asyncio.run(play())


def answering(status: int, body: object) -> Handler:
    async def handle(_: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(body, status=status)

    return handle


def refusing(status: int, code: str, kind: str = "invalid_request_error") -> Handler:
    return answering(status, {"error": {"message": "No.", "type": kind, "param": None, "code": code}})


def test_an_account_that_answers_is_fine_and_was_asked_for_little() -> None:
    seen: list[tuple[str, str | None, Any]] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        seen.append((request.path, request.headers.get("authorization"), await request.json()))
        return web.json_response(CHAT)

    finding = checked(handle, provider="openai")
    assert finding.ok
    assert finding.words.startswith("small answered in ")
    ((path, authorization, body),) = seen
    assert (path, authorization) == ("/v1/chat/completions", None)
    assert (body["model"], body["max_completion_tokens"]) == ("big-7b", 16)


def test_the_key_goes_where_the_provider_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_TEST_KEY", "canary")

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        right = request.headers.get("authorization") == "Bearer canary"
        return web.json_response(CHAT if right else {}, status=200 if right else 401)

    assert checked(handle, "env:PENSTOCK_TEST_KEY").ok


def test_a_model_that_only_embeds_is_fine() -> None:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/v1/embeddings":
            return web.json_response(VECTORS)
        return web.json_response({"error": {"message": "not a chat model", "code": None}}, status=404)

    assert checked(handle).ok


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (refusing(401, "invalid_api_key"), "it wants a key; add api_key"),
        (refusing(403, "unsupported_country"), "the key may not use big-7b"),
        (refusing(404, "model_not_found"), "no model big-7b at http://127.0.0.1"),
        (refusing(429, "rate_limit_exceeded", "requests"), "rate limit is used up"),
        (refusing(429, "insufficient_quota", "insufficient_quota"), "no credit left"),
        (refusing(400, "bad"), "takes neither a tiny chat nor a tiny embedding"),
        (refusing(500, "x", "server_error"), "the provider has a fault of its own"),
        (refusing(503, "x", "server_error"), "the provider has a fault of its own"),
        (answering(200, {"hello": "world"}), "not as the protocol wants"),
    ],
)
def test_what_is_wrong_is_said_with_its_remedy(handler: Handler, words: str) -> None:
    finding = checked(handler)
    assert not finding.ok
    assert words in finding.words


def test_a_refused_key_is_named_by_its_reference_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_TEST_KEY", "sk-canary0123456789")
    echo = "Incorrect API key provided: sk-canary0123456789. Find yours in the console."
    finding = checked(answering(401, {"error": {"message": echo, "code": "invalid_api_key"}}), "env:PENSTOCK_TEST_KEY")
    assert "the key is refused; check env:PENSTOCK_TEST_KEY" in finding.words
    assert "canary" not in finding.words


@pytest.mark.parametrize("key", ["hunter2/odd canary", 'a"canary\\b', "plain-canary-key"])
@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_key_of_any_shape_that_is_echoed_is_not_shown(status: int, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_TEST_KEY", key)
    for body in ({"echo": f"x-api-key: {key}"}, f"x-api-key: {key}"):
        finding = checked(answering(status, body), "env:PENSTOCK_TEST_KEY")
        assert "x-api-key" in finding.words
        assert "canary" not in finding.words


def test_a_missing_key_is_found_without_a_call() -> None:
    finding = asyncio.run(check_account(account("http://127.0.0.1:1/v1", "env:PENSTOCK_NO_SUCH_KEY"), SystemClock()))
    assert not finding.ok
    assert "PENSTOCK_NO_SUCH_KEY is not set" in finding.words


def test_a_server_that_is_not_there_is_named() -> None:
    url = f"http://127.0.0.1:{_free_port()}/v1"
    finding = asyncio.run(check_account(account(url), SystemClock()))
    assert not finding.ok
    assert f"cannot connect to {url}" in finding.words


def test_every_kind_of_failure_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ErrorClass)


def test_the_command_exits_1_and_prints_a_line_per_account(tmp_path: Any) -> None:
    port = _free_port()
    file = tmp_path / "penstock.toml"
    text = '[[accounts]]\nname = "{0}"\nprovider = "vllm"\nbase_url = "http://127.0.0.1:{1}/v1"\nmodels = ["m"]\n'
    file.write_text(text.format("one", port) + text.format("two", port))
    result = CliRunner().invoke(accounts_app, ["check", "--config", str(file)])
    assert result.exit_code == 1
    assert [line.split()[:2] for line in result.output.splitlines()] == [["one", "FAIL"], ["two", "FAIL"]]
    result = CliRunner().invoke(accounts_app, ["check", "two", "--json", "--config", str(file)])
    assert [finding["account"] for finding in json.loads(result.output)] == ["two"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
