"""Ctrl-C once drains, twice aborts; a termination or a lost terminal drains as well."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

SAME_S = 0.5
"""Signals so close together are one: `timeout` and some supervisors signal the process, then its group."""
_DRAINING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Aborted(Exception):
    """The operator did not want to wait for the calls in flight."""

    def __init__(self) -> None:
        super().__init__("aborted: the outcome of the calls that were in flight is unknown")


async def interruptible(work: Coroutine[Any, Any, T], *, drain: Callable[[], None], same_s: float = SAME_S) -> T:
    """Run the work; the first signal calls `drain`, the second cancels it. Raises `Aborted`."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    signals, last = 0, float("-inf")

    def received() -> None:
        nonlocal signals, last
        if loop.time() - last < same_s:
            return
        last = loop.time()
        signals += 1
        if signals == 1:
            drain()
        else:
            task.cancel()

    # nohup ignores hangups, and means it. An interrupt that is sent on purpose is obeyed in any case.
    numbers = [number for number in _DRAINING if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    for number in numbers:
        loop.add_signal_handler(number, received)
    try:
        return await task
    except (asyncio.CancelledError, Exception) as end:
        if signals > 1:  # whatever the work ended with then: it was cut off
            raise Aborted from end
        raise
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let a termination end blocking work as Ctrl-C does, so that temporary files go."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
