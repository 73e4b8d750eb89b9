"""How late the event loop is: what everything in the process has to wait for, when something holds it up."""

from collections import deque

from broker.domain.clock import Clock

EVERY_S = 0.25
OVER_S = 10.0


class LoopLag:
    """Sleeps for a moment again and again, and measures how much later it wakes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due = clock.monotonic()
        self._measured: deque[tuple[float, float]] = deque()
        """When, and how late, of the last ten seconds."""

    @property
    def seconds(self) -> float:
        """The longest delay within the last ten seconds, and now."""
        now = self._clock.monotonic()
        self._forget(now)
        return max(0.0, now - self._due, *(late for _, late in self._measured))

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            self._due = self._clock.monotonic() + EVERY_S
            await self._clock.sleep(EVERY_S)
            now = self._clock.monotonic()
            self._measured.append((now, now - self._due))
            self._forget(now)

    def _forget(self, now: float) -> None:
        while self._measured and self._measured[0][0] < now - OVER_S:
            self._measured.popleft()
