"""Batches at servers of the kind that people run themselves: what they answer wrongly does not become a result."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection

from broker.catalog.lookup import providers
from broker.domain.account import Account
from broker.domain.job import Endpoint
from broker.store import manifest
from broker.store.engine import Database
from broker.store.segment import SegmentWriter, pack_line
from broker.testing.builders import MODEL, a_submission
from broker.testing.judge import Books, read_books
from tests.engines import NO_BACKOFF, an_account, an_engine, at_work, ended, opened
from workers.provider_sim.answers import expected_text
from workers.provider_sim.config import SimConfig
from workers.provider_sim.server import ProviderSim

WINDOW = 1024
ANSWERS_IN_S = 0.02
"""Long enough for other calls to be made meanwhile."""
LONG = "every sentence of this prompt says the same thing over again, "
SCHEMA = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}
TOOL = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}
Row = tuple[Endpoint, dict[str, Any]]


def chat(said: str, **more: Any) -> Row:
    return Endpoint.CHAT_COMPLETIONS, {"model": MODEL, "messages": [{"role": "user", "content": said}], **more}


def message(said: str, **more: Any) -> Row:
    """The same, in Anthropic's words: it is translated on its way."""
    body = {"model": MODEL, "max_tokens": 50, "messages": [{"role": "user", "content": said}], **more}
    return Endpoint.MESSAGES, body


def a_batch(connection: Connection, rows: Sequence[Row]) -> int:
    lines = [
        pack_line(number, f"row-{number}", endpoint, orjson.dumps(body)) for number, (endpoint, body) in enumerate(rows)
    ]
    batch_id, _ = manifest.open_batch(connection, a_submission())
    manifest.add_segments(connection, batch_id, 0, [SegmentWriter().draft(MODEL, 0, len(lines) - 1, lines)])
    manifest.seal(connection, batch_id, len(lines))
    return batch_id


class Servers:
    """Simulated servers, each with an account of its own."""

    def __init__(self, stack: AsyncExitStack, database: Database) -> None:
        self._stack = stack
        self._database = database
        self.sims: list[ProviderSim] = []
        self.accounts: list[Account] = []

    async def start(self, engine: str = "ollama", *, account: dict[str, Any] | None = None, **self_hosted: Any) -> None:
        config = {"latency": {"first_token_s": ANSWERS_IN_S}, "self_hosted": {"engine": engine, **self_hosted}}
        sim = await self._stack.enter_async_context(ProviderSim(SimConfig.model_validate(config)))
        facts = {
            "name": f"server-{len(self.sims)}",
            "provider": engine,
            "facts": providers()[engine].facts,
            "headers": {"authorization": "Bearer sim"},
        }
        self.sims.append(sim)
        self.accounts.append(an_account(sim.base_url, **(facts | (account or {}))))

    async def drain(self, rows: Sequence[Row]) -> Books:
        batch_id = await self._database.write(a_batch, rows)
        engine = an_engine(self._database, *self.accounts, policy=NO_BACKOFF)
        async with at_work(engine):
            await ended(engine, batch_id)
        return await read_books(self._database, batch_id)


def with_servers(url: str, check: Any) -> None:
    async def run() -> None:
        async with opened(url) as database, AsyncExitStack() as stack:
            await check(Servers(stack, database))

    asyncio.run(run())


def state_of(books: Books, row: int) -> tuple[str, str | None]:
    (found,) = [result for result in books.results if result["custom_id"] == f"row-{row}"]
    return found["state"], found["error_code"]


def calls_of(books: Books, row: int) -> list[Any]:
    return sorted((each for each in books.attempts if each["position"] == row), key=lambda each: each["number"])


@pytest.mark.parametrize("ask", [chat, message])
@pytest.mark.parametrize("times", [100, 400], ids=["by a third", "to a sixth"])
def test_a_prompt_that_was_cut_without_a_word_is_no_success(sqlite_url: str, ask: Any, times: int) -> None:
    """It was generated all the same: its tokens stay in the books, and no second call is made for it."""

    async def check(servers: Servers) -> None:
        await servers.start(context_window=WINDOW, truncate=True)
        books = await servers.drain([ask("short"), ask(LONG * times), ask("short too")])
        assert [state_of(books, row) for row in range(3)] == [
            ("succeeded", None),
            ("failed", "prompt_cut"),
            ("succeeded", None),
        ]
        (call,) = calls_of(books, 1)
        assert (call["state"], call["error_class"], call["usage_source"]) == ("failed", "too_large", "reported")
        assert call["input_tokens"] == WINDOW
        assert call["output_tokens"] > 0
        assert len(servers.sims[0].ledger) == 3
        assert books.batch["input_tokens"] == sum(each["input_tokens"] for each in books.attempts)

    with_servers(sqlite_url, check)


def test_a_prompt_that_one_server_cuts_is_answered_by_one_with_a_larger_window(sqlite_url: str) -> None:
    said = [f"{LONG * 200} question {number}" for number in range(12)]

    async def check(servers: Servers) -> None:
        await servers.start(context_window=WINDOW, truncate=True)
        await servers.start("vllm")
        books = await servers.drain([chat(words) for words in said])
        assert {result["state"] for result in books.results} == {"succeeded"}
        assert {result["account"] for result in books.results} == {"server-1"}
        for number, words in enumerate(said):
            body = orjson.loads(next(r["body"] for r in books.results if r["custom_id"] == f"row-{number}"))
            assert body["choices"][0]["message"]["content"] == expected_text(words)
        tried = [each["account"] for each in books.attempts]
        assert tried.count("server-0") <= len(said), "nobody is asked twice"

    with_servers(sqlite_url, check)


@pytest.mark.parametrize("ask", [chat, message])
def test_a_schema_that_a_server_ignores_is_asked_for_again_and_then_fails(sqlite_url: str, ask: Any) -> None:
    wanted: dict[str, Any] = {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}
    if ask is chat:
        wanted = {"response_format": {"type": "json_schema", "json_schema": {"name": "label", "schema": SCHEMA}}}

    async def check(servers: Servers) -> None:
        await servers.start("llama.cpp", schemas="ignored")
        books = await servers.drain([ask("free words"), ask("a label", **wanted)])
        assert [state_of(books, row) for row in range(2)] == [("succeeded", None), ("failed", "malformed_answer")]
        calls = calls_of(books, 1)
        assert len(calls) == 1 + NO_BACKOFF.malformed_retries
        assert {(call["error_class"], call["usage_source"]) for call in calls} == {("malformed_answer", "reported")}
        assert len(servers.sims[0].ledger) == 1 + len(calls)

    with_servers(sqlite_url, check)


def test_a_schema_that_a_server_follows_is_no_reason_to_ask_again(sqlite_url: str) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "label", "schema": SCHEMA}}

    async def check(servers: Servers) -> None:
        await servers.start("vllm")
        books = await servers.drain([chat(f"label {n}", response_format=wanted) for n in range(10)])
        assert {result["state"] for result in books.results} == {"succeeded"}
        assert len(books.attempts) == 10

    with_servers(sqlite_url, check)


@pytest.mark.parametrize("arguments", ["valid", "unparsable"])
def test_arguments_that_do_not_parse_are_asked_for_again_and_then_fail(sqlite_url: str, arguments: str) -> None:
    async def check(servers: Servers) -> None:
        await servers.start("sglang", tool_arguments=arguments)
        books = await servers.drain([chat("look", tools=[TOOL], tool_choice="required")])
        calls = calls_of(books, 0)
        if arguments == "valid":
            assert (state_of(books, 0), len(calls)) == (("succeeded", None), 1)
        else:
            assert state_of(books, 0) == ("failed", "malformed_answer")
            assert len(calls) == 1 + NO_BACKOFF.malformed_retries
            assert all(call["input_tokens"] for call in calls)

    with_servers(sqlite_url, check)


@pytest.mark.parametrize("ask", [chat, message])
def test_usage_that_a_server_does_not_report_is_estimated_and_says_so(sqlite_url: str, ask: Any) -> None:
    async def check(servers: Servers) -> None:
        await servers.start("tgi", usage="missing", account={"protocols": providers()["tgi"].protocols})
        books = await servers.drain([ask("words")])
        assert state_of(books, 0) == ("succeeded", None)
        (call,) = calls_of(books, 0)
        assert call["usage_source"] == "estimated"
        assert call["input_tokens"] > 0
        assert call["output_tokens"] > 0

    with_servers(sqlite_url, check)


@pytest.mark.parametrize("engine", ["llama.cpp", "tgi", "sglang"])
def test_no_more_calls_are_made_at_once_than_the_server_says_it_takes(sqlite_url: str, engine: str) -> None:
    async def check(servers: Servers) -> None:
        await servers.start(engine, slots=2)
        books = await servers.drain([chat(f"question {number}") for number in range(30)])
        assert {result["state"] for result in books.results} == {"succeeded"}
        assert servers.sims[0].stats()["max_in_flight"] in (1, 2)

    with_servers(sqlite_url, check)
