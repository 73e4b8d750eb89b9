"""Deadlines of many calls that all have the same time allowed, watched by one timer.

`asyncio.timeout` sets a timer per call, which costs a tenth of a fast one. Calls that are all allowed the same
time expire in the order in which they began: it is enough to look at the first.
"""

import asyncio

LOOK_S = 0.25


class Deadline:
    """The time allowed to one call, of the task that started it."""

    __slots__ = ("_task", "at", "expired")

    def __init__(self, task: "asyncio.Task[object] | None", at: float) -> None:
        self._task = task
        self.at = at
        self.expired = False

    def expire(self) -> None:
        """Cancel the call."""
        self.expired = True
        if self._task is not None:
            self._task.cancel()

    def was_it(self) -> bool:
        """Whether a cancellation that has just been caught was this deadline alone, not also somebody's wish."""
        return self.expired and (self._task is None or self._task.uncancel() == 0)


class Deadlines:
    """All running calls of one client; a call is stopped at most a quarter of a second late."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._running: dict[Deadline, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> Deadline:
        """Begin a call in the current task; it must be ended by `finish`."""
        loop = self._loop = self._loop or asyncio.get_running_loop()
        deadline = Deadline(asyncio.current_task(loop), loop.time() + self._seconds)
        self._running[deadline] = None
        if self._timer is None:
            self._timer = loop.call_later(min(LOOK_S, self._seconds), self._look)
        return deadline

    def finish(self, deadline: Deadline) -> None:
        """The call has ended, in time or not."""
        self._running.pop(deadline, None)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while (first := next(iter(self._running), None)) is not None and first.at <= now:
            del self._running[first]
            first.expire()
        soon = LOOK_S if first is None else min(LOOK_S, first.at - now)
        self._timer = loop.call_later(soon, self._look) if self._running else None
