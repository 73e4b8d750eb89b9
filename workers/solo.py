"""A process-wide gate: many calls together, or one suspect with nothing else beside it.

A job that was lost with its process twice runs alone: if the process dies again, it was this job, and its
neighbours lose nothing.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Solo:
    """First come, first served: a waiting suspect holds up newcomers, and newcomers run between two suspects."""

    def __init__(self) -> None:
        self._turnstile = asyncio.Lock()
        self._nobody = asyncio.Event()
        self._nobody.set()
        self._running = 0

    async def join(self, calls: int) -> None:
        """Start calls among others; each is ended by `leave`."""
        async with self._turnstile:
            self._running += calls
            if self._running:
                self._nobody.clear()

    def leave(self, calls: int = 1) -> None:
        self._running -= calls
        if not self._running:
            self._nobody.set()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Run with nothing else in this process."""
        async with self._turnstile:
            await self._nobody.wait()
            yield
