"""How long a place stays empty after its process ended: longer each time, until one has lasted."""

import signal
from collections.abc import Callable
from dataclasses import dataclass

FIRST_S = 0.5
LONGEST_S = 60.0
LASTED_S = 60.0
"""A process that ran this long was a good one: the next end counts as the first again."""
REFUSED = 2
"""Exit status of a command that refused its configuration: nothing but an operator changes that."""
REFUSED_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a process ended. `status` is as `subprocess` gives it, below zero for a signal; `None`: it never began."""

    status: int | None
    ran_s: float
    trouble: str = ""
    """Why it never began."""

    @property
    def refused(self) -> bool:
        return self.status == REFUSED

    def words(self) -> str:
        """Say it for people."""
        if self.status is None:
            return f"could not be started: {self.trouble}"
        after = f"after {self.ran_s:,.1f} s"
        if self.status < 0:
            return f"ended by signal {-self.status} ({_signal_name(-self.status)}) {after}"
        if self.refused:
            return f"refused its configuration (exit status 2) {after}; its own words are above"
        return f"ended with exit status {self.status} {after}"


class Restarts:
    """The pauses of one place. `random` gives numbers from 0 to below 1."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self.in_a_row = 0
        """Ends since a process lasted."""

    def pause_after(self, ending: Ending) -> float:
        """Seconds until the next process begins."""
        if ending.ran_s >= LASTED_S:
            self.in_a_row = 0
        self.in_a_row += 1
        if ending.refused:
            return REFUSED_S * self._jitter()
        return min(LONGEST_S, FIRST_S * 2.0 ** min(self.in_a_row - 1, 16)) * self._jitter()

    def _jitter(self) -> float:
        """Let places that failed together not come back together."""
        return 0.75 + 0.5 * self._random()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
