import asyncio
from collections.abc import Awaitable, Callable

from broker.health.lag import EVERY_S, OVER_S, LoopLag
from broker.testing.manual_clock import ManualClock
from broker.testing.outages import eventually


def measured(scenario: Callable[[LoopLag, ManualClock], Awaitable[None]]) -> None:
    async def run() -> None:
        clock = ManualClock()
        lag = LoopLag(clock)
        async with asyncio.TaskGroup() as tasks:
            measuring = tasks.create_task(lag.run())
            await eventually(lambda: clock.sleepers == 1)
            await scenario(lag, clock)
            measuring.cancel()

    asyncio.run(run())


async def passes(clock: ManualClock, seconds: float) -> None:
    """Let the loop run on time for so long."""
    for _ in range(round(seconds / EVERY_S)):
        clock.advance(EVERY_S)
        await eventually(lambda: clock.sleepers == 1)


def test_a_loop_on_time_has_no_lag() -> None:
    async def scenario(lag: LoopLag, clock: ManualClock) -> None:
        await passes(clock, 5.0)
        assert lag.seconds == 0.0

    measured(scenario)


def test_a_delay_shows_before_and_after_the_loop_has_come_back() -> None:
    async def scenario(lag: LoopLag, clock: ManualClock) -> None:
        clock.advance(EVERY_S + 7.0)
        assert lag.seconds == 7.0
        await eventually(lambda: clock.sleepers == 1)
        assert lag.seconds == 7.0

    measured(scenario)


def test_a_delay_is_forgotten_after_a_while() -> None:
    async def scenario(lag: LoopLag, clock: ManualClock) -> None:
        clock.advance(EVERY_S + 7.0)
        await eventually(lambda: clock.sleepers == 1)
        await passes(clock, OVER_S)
        assert lag.seconds == 7.0
        await passes(clock, EVERY_S)
        assert lag.seconds == 0.0

    measured(scenario)
