"""Waits for something to happen, but not for ever."""

import asyncio

from broker.domain.clock import Clock


async def happens(event: asyncio.Event, *, within_s: float, clock: Clock) -> bool:
    """Wait until it happens or the time is over; returns whether it has happened."""
    if event.is_set():
        return True
    async with asyncio.TaskGroup() as tasks:
        waits = {tasks.create_task(event.wait()), tasks.create_task(clock.sleep(within_s))}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
    return event.is_set()
