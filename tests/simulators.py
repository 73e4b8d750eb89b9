"""A simulated provider over real HTTP: on loopback, on a free port, with a clock that tests move."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import uvloop

from broker.testing.manual_clock import ManualClock
from workers.provider_sim.config import SimConfig
from workers.provider_sim.server import ProviderSim

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

    async def post(
        self,
        body: Body | bytes,
        *,
        key: str = "sim",
        path: str = "/v1/chat/completions",
        headers: Mapping[str, str] | None = None,
    ) -> "Got":
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {key}", "X-Client-Request-Id": "attempt-1"} | dict(headers or {})
        async with self.session.post(self.sim.url + path, data=raw, headers=sent) as response:
            return Got(response.status, lowered(response.headers), await response.read())

    async def get(self, path: str, key: str = "sim", headers: Mapping[str, str] | None = None) -> "Got":
        sent = {"Authorization": f"Bearer {key}"} if headers is None else headers
        async with self.session.get(self.sim.url + path, headers=sent) as response:
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
