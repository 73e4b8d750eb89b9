import asyncio

from broker.testing.manual_clock import ManualClock
from broker.testing.outages import eventually
from workers.patience import happens


def test_what_happens_in_time_is_noticed() -> None:
    async def scenario() -> None:
        clock, event = ManualClock(), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(happens(event, within_s=5.0, clock=clock))
            await eventually(lambda: clock.sleepers == 1)
            event.set()
            assert await waiting

    asyncio.run(scenario())


def test_the_time_ends() -> None:
    async def scenario() -> None:
        clock, event = ManualClock(), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(happens(event, within_s=5.0, clock=clock))
            await eventually(lambda: clock.sleepers == 1)
            clock.advance(4.9)
            await asyncio.sleep(0)
            assert not waiting.done()
            clock.advance(0.1)
            assert not await waiting

    asyncio.run(scenario())


def test_what_has_happened_is_not_waited_for() -> None:
    async def scenario() -> None:
        event = asyncio.Event()
        event.set()
        assert await happens(event, within_s=0.0, clock=ManualClock())

    asyncio.run(scenario())
