"""The clock that tests move."""

import asyncio

import pytest

from broker.testing.manual_clock import ManualClock


def test_both_clocks_advance_together() -> None:
    clock = ManualClock(now=100.0, monotonic=5.0)
    clock.advance(2.5)
    assert (clock.now(), clock.monotonic()) == (102.5, 7.5)


def test_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="forward"):
        ManualClock().advance(-1)


def test_sleepers_wake_in_the_order_of_their_due_times() -> None:
    async def run() -> list[str]:
        clock, woken = ManualClock(), []

        async def sleeper(name: str, seconds: float) -> None:
            await clock.sleep(seconds)
            woken.append(name)

        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            for name, seconds in (("late", 3.0), ("early", 1.0), ("early too", 1.0), ("at once", 0.0)):
                tasks.create_task(sleeper(name, seconds))
            await asyncio.sleep(0)
            assert clock.sleepers == 3
            clock.advance(5.0)
        return woken

    assert asyncio.run(run()) == ["at once", "early", "early too", "late"]


def test_a_sleeper_sleeps_on_until_its_time() -> None:
    async def run() -> None:
        clock = ManualClock()
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            sleeper = tasks.create_task(clock.sleep(2.0))
            await asyncio.sleep(0)
            clock.advance(1.9)
            await asyncio.sleep(0)
            assert not sleeper.done()
            clock.advance(0.2)

    asyncio.run(run())


def test_a_cancelled_sleeper_is_forgotten() -> None:
    async def run() -> None:
        clock = ManualClock()
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            sleeper = tasks.create_task(clock.sleep(2.0))
            await asyncio.sleep(0)
            sleeper.cancel()
            await asyncio.sleep(0)
            assert clock.sleepers == 0
            clock.advance(3.0)

    asyncio.run(run())
