"""The whole embedded mode in a test, and a provider that answers when the test says so."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp.web import BaseRequest, Response, Server, ServerRunner, TCPSite
from sqlalchemy import Connection

from broker.domain.account import Account
from broker.domain.batch import TERMINAL
from broker.domain.dialect import OPENAI_FAMILY
from broker.domain.job import Endpoint
from broker.domain.outcome import RetryPolicy
from broker.store import batches, manifest
from broker.store.engine import Database, open_database
from broker.store.segment import SegmentWriter, pack_line
from broker.testing.builders import ACCOUNT, MODEL, a_submission
from broker.testing.outages import FragileDatabase
from broker.wiring.embedded import Engine

ENDS_S = 60.0
NO_BACKOFF = RetryPolicy(backoff_base_s=0.0)
ANSWER = orjson.dumps({
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": f"{MODEL}-2025",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
})  # fmt: skip


class Provider:
    """Answers every call well, unless told otherwise; notes what it was asked."""

    def __init__(self) -> None:
        self.base_url = ""
        self.asked: list[dict[str, Any]] = []
        self.call_ids: list[str] = []
        self.in_flight = 0
        self.most_in_flight: Counter[str] = Counter()
        """By what the user said: the most calls that were in flight during such a call."""
        self.answering = asyncio.Event()
        """Calls wait for it before they are answered."""
        self.answering.set()
        self.respond: Callable[[dict[str, Any]], Response] = lambda _: answer()

    def says(self) -> list[str]:
        """What the user said in each call."""
        return [request["messages"][0]["content"] for request in self.asked]

    async def serve(self, request: BaseRequest) -> Response:
        asked = orjson.loads(await request.read())
        said = asked["messages"][0]["content"]
        self.asked.append(asked)
        self.call_ids.append(request.headers["X-Client-Request-Id"])
        self.in_flight += 1
        self.most_in_flight[said] = max(self.most_in_flight[said], self.in_flight)
        try:
            await self.answering.wait()
            return self.respond(asked)
        finally:
            self.in_flight -= 1


def answer(body: bytes = ANSWER, *, status: int = 200, **headers: str) -> Response:
    """What a provider says."""
    return Response(status=status, body=body, content_type="application/json", headers=headers)


@asynccontextmanager
async def a_provider() -> AsyncIterator[Provider]:
    """Listen on loopback for as long as the block runs."""
    provider = Provider()
    runner = ServerRunner(Server(provider.serve, access_log=None, handler_cancellation=True), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await TCPSite(runner, "127.0.0.1", 0).start()
        provider.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield provider
    finally:
        provider.answering.set()
        await runner.cleanup()


def an_account(base_url: str = "http://127.0.0.1:9/v1", **changes: Any) -> Account:
    """An account at an operator's own endpoint, without limits."""
    facts: dict[str, Any] = {
        "name": ACCOUNT,
        "provider": "vllm",
        "protocols": OPENAI_FAMILY,
        "base_url": base_url,
        "models": {MODEL: MODEL},
        "worker_concurrency": 8,
        "timeout_seconds": 30.0,
    }
    return Account(**(facts | changes))


def an_engine(database: Database, *accounts: Account, **changes: Any) -> Engine:
    """The embedded mode over this database; retries do not wait."""
    return Engine(database, accounts, **({"policy": NO_BACKOFF} | changes))


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[FragileDatabase]:
    """A migrated database that the test can take away."""
    database = FragileDatabase(open_database(url))
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def at_work(engine: Engine) -> AsyncIterator[None]:
    """Run the engine for as long as the block runs, then let it finish what is in flight."""
    async with asyncio.timeout(ENDS_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(engine.run())
        try:
            yield
        finally:
            engine.stop()


async def ended(engine: Engine, batch_id: int) -> None:
    """Wait for the end of a batch."""
    while (await engine.database.read(batches.get, batch_id)).state not in TERMINAL:
        await engine.changed(1.0)


def a_chat_batch(connection: Connection, says: Sequence[str], route: str = MODEL) -> int:
    """A batch that may run, whose jobs ask a model one thing each."""
    lines = [
        pack_line(
            position,
            f"row-{position}",
            Endpoint.CHAT_COMPLETIONS,
            orjson.dumps({"model": route, "messages": [{"role": "user", "content": said}]}),
        )
        for position, said in enumerate(says)
    ]
    batch_id, _ = manifest.open_batch(connection, a_submission())
    draft = SegmentWriter().draft(route, 0, len(lines) - 1, lines)
    manifest.add_segments(connection, batch_id, 0, [draft])
    manifest.seal(connection, batch_id, len(lines))
    return batch_id
