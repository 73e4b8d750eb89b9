"""The in-process limiter: what its contract does not say."""

import asyncio

import pytest

from broker.domain.account import Limits
from broker.limits.memory import MemoryLimiter
from broker.limits.port import Ask, Charge, Settled, Settlement
from broker.testing.manual_clock import ManualClock

ONE = [Ask(reservation_id="a", need=Charge())]


def test_a_raised_limit_wakes_waiters() -> None:
    async def run() -> None:
        limiter = MemoryLimiter(ManualClock())
        limiter.declare("g", Limits(concurrency=1))
        granted = await limiter.reserve("g", ONE, horizon_s=0.0)
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(limiter.changed("g", since=granted.generation))
            await asyncio.sleep(0)
            limiter.declare("g", Limits(concurrency=2))

    asyncio.run(run())


def test_a_cancelled_waiter_leaves_the_others_waiting() -> None:
    async def run() -> None:
        limiter = MemoryLimiter(ManualClock())
        limiter.declare("g", Limits(concurrency=1))
        granted = await limiter.reserve("g", ONE, horizon_s=0.0)
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            cancelled = tasks.create_task(limiter.changed("g", since=granted.generation))
            other = tasks.create_task(limiter.changed("g", since=granted.generation))
            await asyncio.sleep(0)
            cancelled.cancel()
            await asyncio.sleep(0)
            assert cancelled.cancelled()
            assert not other.done()
            await limiter.settle("g", [Settlement(reservation_id="a", how=Settled.USED)])

    asyncio.run(run())


def test_a_settlement_of_nothing_is_no_change() -> None:
    async def run() -> None:
        limiter = MemoryLimiter(ManualClock())
        limiter.declare("g", Limits())
        before = (await limiter.reserve("g", [], horizon_s=0.0)).generation
        await limiter.settle("g", [Settlement(reservation_id="unknown", how=Settled.USED)])
        assert (await limiter.reserve("g", [], horizon_s=0.0)).generation == before

    asyncio.run(run())


def test_every_method_refuses_an_undeclared_group() -> None:
    limiter = MemoryLimiter(ManualClock())
    for call in (
        limiter.settle("g", []),
        limiter.throttle("g", hint_s=1.0, resource=None, reason="x"),
        limiter.observe("g", []),
        limiter.changed("g", since=0),
        limiter.state("g"),
    ):
        with pytest.raises(KeyError):
            asyncio.run(call)
