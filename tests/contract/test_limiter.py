"""Every limiter keeps the limiter's contract."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from broker.domain.account import Limits
from broker.limits.memory import MemoryLimiter
from broker.limits.redis import RedisLimiter
from broker.testing.contracts.limiter import CASES, LimiterRig
from broker.testing.manual_clock import ManualClock


class MemoryRig:
    def __init__(self, limiter: MemoryLimiter, clock: ManualClock) -> None:
        self._clock = clock
        self.limiter = limiter

    async def declare(self, group: str, limits: Limits, *, rho: float) -> None:
        self.limiter.declare(group, limits, rho=rho)

    async def now(self) -> float:
        return self._clock.monotonic()

    async def advance(self, seconds: float) -> None:
        self._clock.advance(seconds)


class RedisRig:
    """What waits to be sent in company is sent before time moves: really it waits a tenth of a second at most."""

    def __init__(self, limiter: RedisLimiter, clock: ManualClock) -> None:
        self._clock = clock
        self.limiter = limiter

    async def declare(self, group: str, limits: Limits, *, rho: float) -> None:
        self.limiter.declare(group, limits, rho=rho)
        await self.limiter.flush()

    async def now(self) -> float:
        return self._clock.monotonic()

    async def advance(self, seconds: float) -> None:
        await self.limiter.flush()
        self._clock.advance(seconds)


@asynccontextmanager
async def in_memory(_request: pytest.FixtureRequest) -> AsyncIterator[LimiterRig]:
    clock = ManualClock()
    yield MemoryRig(MemoryLimiter(clock), clock)


@asynccontextmanager
async def on_redis(request: pytest.FixtureRequest) -> AsyncIterator[LimiterRig]:
    """The script's clock stands and moves with ours: the test's key prefix allows that."""
    clock = ManualClock()
    limiter = RedisLimiter(
        request.getfixturevalue("redis_url"),
        member="the test",
        clock=clock,
        prefix=f"test:{uuid.uuid4().hex}",
        deadline_s=30.0,  # a machine that is held up must not pass for a server that is away
        server_time=clock.monotonic,
    )
    try:
        yield RedisRig(limiter, clock)
    finally:
        await limiter.close()


Opened = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[LimiterRig]]
RIGS: dict[str, Opened] = {"memory": in_memory, "redis": on_redis}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("opened", RIGS.values(), ids=RIGS.keys())
def test_limiter(case: Callable[[LimiterRig], Awaitable[None]], opened: Opened, request: pytest.FixtureRequest) -> None:
    async def run() -> None:
        async with opened(request) as rig:
            await case(rig)

    asyncio.run(run())
