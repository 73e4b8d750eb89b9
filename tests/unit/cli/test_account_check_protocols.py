"""Each account is tried in its own protocol, over real HTTP on loopback."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from broker.catalog.lookup import find
from broker.cli.account_check import Finding, check_account
from broker.domain.account import Account
from broker.domain.clock import SystemClock
from broker.domain.dialect import Dialect

Handler = Callable[[web.BaseRequest], Coroutine[Any, Any, web.StreamResponse]]
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "ok"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 1},
}
GENERATED = {
    "candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": "ok"}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1, "totalTokenCount": 4},
}
EMBEDDED = {"embeddings": [{"values": [0.1, 0.2]}]}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "m",
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "ok", "annotations": []}],
        }
    ],
    "usage": {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4},
}


@dataclass
class Provider:
    """Answers by path, anything else with 404, and remembers what it was asked."""

    answers: Mapping[str, object]
    handler: Handler | None = None
    asked: list[tuple[str, Mapping[str, str], Any]] = field(default_factory=list)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append((request.path, headers, await request.json()))
        if request.path in self.answers:
            return web.json_response(self.answers[request.path])
        return web.json_response({"error": {"message": "no such model", "code": 404}}, status=404)

    def checked(self, provider: str, model: str = "model-1", **changes: Any) -> Finding:
        return asyncio.run(self._checked(provider, model, changes))

    async def _checked(self, name: str, model: str, changes: dict[str, Any]) -> Finding:
        provider = find(name)
        assert provider is not None
        runner = web.ServerRunner(web.Server(self.handler or self.handle))
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            facts: dict[str, Any] = {
                "name": "a",
                "provider": name,
                "protocols": provider.protocols,
                "base_url": f"http://127.0.0.1:{runner.addresses[0][1]}",
                "models": {"small": model},
                "secret": "env:PENSTOCK_TEST_KEY",
                "auth_header": provider.auth_header,
                "auth_scheme": provider.auth_scheme,
                "facts": provider.facts,
                "timeout_seconds": 5.0,
            }
            return await check_account(Account(**(facts | changes)), SystemClock())
        finally:
            await runner.cleanup()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_TEST_KEY", "canary")


def test_anthropic_is_asked_in_its_own_words() -> None:
    provider = Provider({"/v1/messages": MESSAGE})
    finding = provider.checked("anthropic")
    assert finding.ok, finding.words
    ((_, headers, body),) = provider.asked
    assert headers["x-api-key"] == "canary"
    assert headers["anthropic-version"] in ("2023-06-01", "2026-10-21")
    assert "authorization" not in headers
    assert (body["model"], body["max_tokens"]) == ("model-1", 16)
    assert body["messages"] == [{"role": "user", "content": "Say ok."}]


def test_gemini_is_asked_in_its_own_words() -> None:
    provider = Provider({"/v1beta/models/model-1:generateContent": GENERATED})
    finding = provider.checked("gemini")
    assert finding.ok, finding.words
    ((_, headers, body),) = provider.asked
    assert headers["x-goog-api-key"] == "canary"
    assert body["contents"] == [{"role": "user", "parts": [{"text": "Say ok."}]}]
    assert body["generationConfig"]["maxOutputTokens"] == 16


def test_a_model_of_gemini_that_only_embeds_is_fine() -> None:
    provider = Provider({"/v1beta/models/model-1:batchEmbedContents": EMBEDDED})
    finding = provider.checked("gemini")
    assert finding.ok, finding.words
    assert [path.rpartition(":")[2] for path, _, _ in provider.asked] == ["generateContent", "batchEmbedContents"]


def test_an_account_is_asked_at_the_providers_own_urls() -> None:
    provider = Provider({"/models/model-1:generateContent": GENERATED})
    assert provider.checked("vertex").ok
    ((_, headers, _),) = provider.asked
    assert headers["authorization"] == "Bearer canary"


def test_an_account_of_responses_alone_is_asked_for_one() -> None:
    provider = Provider({"/responses": RESPONSE})
    finding = provider.checked("openai", protocols=(Dialect.OPENAI_RESPONSES,))
    assert finding.ok, finding.words
    ((_, _, body),) = provider.asked
    assert body["max_output_tokens"] == 16


def test_an_account_that_only_embeds_is_asked_for_nothing_else() -> None:
    provider = Provider({})
    finding = provider.checked("openai", protocols=(Dialect.OPENAI_EMBEDDINGS,))
    assert not finding.ok
    assert [path for path, _, _ in provider.asked] == ["/embeddings"]


def test_an_account_that_embeds_nothing_is_not_asked_for_a_vector() -> None:
    provider = Provider({})
    assert not provider.checked("anthropic").ok
    assert [path for path, _, _ in provider.asked] == ["/v1/messages"]


@pytest.mark.parametrize(("provider", "field"), [("vllm", "max_tokens"), ("openai", "max_completion_tokens")])
def test_the_answer_is_kept_short_in_the_field_that_the_provider_reads(provider: str, field: str) -> None:
    server = Provider({})
    server.checked(provider)
    assert server.asked[0][2][field] == 16


def test_headers_of_the_account_go_along() -> None:
    provider = Provider({"/chat/completions": {}})
    provider.checked("huggingface", headers={"X-HF-Bill-To": "my-org"}, models={"small": "openai/gpt-oss-20b:cheapest"})
    _, headers, body = provider.asked[0]
    assert (headers["x-hf-bill-to"], body["model"]) == ("my-org", "openai/gpt-oss-20b:cheapest")


def test_an_error_means_what_the_provider_means_by_it() -> None:
    async def refuse(_: web.BaseRequest) -> web.StreamResponse:
        error = {
            "code": 400,
            "message": "API key not valid. Please pass a valid API key.",
            "status": "INVALID_ARGUMENT",
        }
        return web.json_response([{"error": error}], status=400)

    provider = Provider({}, handler=refuse)
    assert "the key is refused; check env:PENSTOCK_TEST_KEY" in provider.checked("gemini-openai").words
