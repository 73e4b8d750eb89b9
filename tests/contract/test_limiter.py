"""Every limiter keeps the limiter's contract."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from broker.domain.account import Limits
from broker.limits.memory import MemoryLimiter
from broker.testing.contracts.limiter import CASES, LimiterRig
from broker.testing.manual_clock import ManualClock


class MemoryRig:
    def __init__(self) -> None:
        self._clock = ManualClock()
        self.limiter = MemoryLimiter(self._clock)

    async def declare(self, group: str, limits: Limits, *, rho: float) -> None:
        self.limiter.declare(group, limits, rho=rho)

    async def now(self) -> float:
        return self._clock.monotonic()

    async def advance(self, seconds: float) -> None:
        self._clock.advance(seconds)


RIGS: dict[str, Callable[[], LimiterRig]] = {"memory": MemoryRig}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("make", RIGS.values(), ids=RIGS.keys())
def test_limiter(case: Callable[[LimiterRig], Awaitable[None]], make: Callable[[], LimiterRig]) -> None:
    async def run() -> None:
        await case(make())

    asyncio.run(run())
