"""Waits for a server that a test has started."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.servers.finding import Unavailable


async def answering(
    ask: Callable[[], Awaitable[None]],
    *,
    cannot_connect: tuple[type[Exception], ...],
    running: Callable[[], bool],
    last_words: Callable[[], str],
    within_s: float,
) -> None:
    """Ask until it can be used; raises `Unavailable` when it has ended, and `TimeoutError`."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                return await ask()
            except cannot_connect:
                if not running():
                    raise Unavailable(f"it ended at once: {last_words()[-300:]}") from None
                await asyncio.sleep(0.1)
