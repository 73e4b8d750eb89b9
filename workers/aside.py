"""Keeps the event loop free: what takes long is done in a thread."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LARGE_BYTES = 1 << 17
"""Of JSON with small parts, so much is translated in about 15 ms; and this much is worth the way to a thread."""


async def aside(size: int, do: Callable[[], T]) -> T:
    """Do something that takes as long as so many bytes of JSON; a caller that is cancelled meanwhile gets no answer."""
    return await asyncio.to_thread(do) if size > LARGE_BYTES else do()
