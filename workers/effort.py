"""How hard a process works: the share of one CPU that it uses."""

import time
from collections.abc import Callable

from broker.domain.clock import Clock


class Effort:
    """Asked again and again, it tells of the time since it was asked before."""

    def __init__(self, clock: Clock, cpu_s: Callable[[], float] = time.process_time) -> None:
        self._clock = clock
        self._cpu_s = cpu_s
        self._at = clock.monotonic()
        self._used = cpu_s()

    def share(self) -> float:
        """CPU seconds per second since the last call; an interpreter lock keeps it near 1 at most."""
        at, used = self._clock.monotonic(), self._cpu_s()
        passed, worked = at - self._at, used - self._used
        self._at, self._used = at, used
        return worked / passed if passed > 0 else 0.0
