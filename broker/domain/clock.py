"""Time, handed in as an argument, so that tests can own it."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for stamps, monotonic time for waiting; both in seconds."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; a value below zero yields once."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> float:
        return time.time()  # noqa: TID251 - its one home

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))
