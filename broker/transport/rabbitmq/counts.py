"""How many jobs wait in a queue, from the number of its turns: RabbitMQ counts messages, the feeder counts jobs."""

from collections import deque
from itertools import islice
from math import ceil, inf

from broker.transport.rabbitmq.timings import Timings

_REMEMBERED = 100_000
"""Sizes of turns kept per queue; a window is far smaller."""


class QueueCount:
    """One queue, as its publisher knows it.

    Turns leave in the order in which they came, so those that wait are the last ones that were published, and their
    sizes are known. Redelivered turns, and those of another publisher, make it an estimate.
    """

    def __init__(self, timings: Timings) -> None:
        self._timings = timings
        self._sizes: deque[int] = deque(maxlen=_REMEMBERED)
        self._published = 0
        self._seen = 0
        """Jobs that waited at the last look."""
        self._since = 0
        """Jobs published since."""
        self._looked_at = -inf

    @property
    def jobs(self) -> int:
        """Jobs that wait, as of the last look and what was published since."""
        return self._seen + self._since

    @property
    def published(self) -> int:
        """Turns that were published so far; `looked` wants to know how many it were before the look."""
        return self._published

    def fresh(self, now: float) -> bool:
        """Whether the last look is good enough."""
        good_for = self._timings.count if self.jobs else self._timings.empty_count
        return now < self._looked_at + good_for

    def add(self, jobs: int) -> None:
        """A turn of so many jobs was confirmed."""
        self._sizes.append(jobs)
        self._published += 1
        self._since += jobs

    def looked(self, turns: int, *, published: int, now: float) -> None:
        """So many turns wait, of those published before the look."""
        later = self._published - published
        newest_first = reversed(self._sizes)
        self._since = sum(islice(newest_first, later))
        known = list(islice(newest_first, turns))
        # Turns that are not ours are taken to be like ours
        mean = sum(known) / len(known) if known else 1.0
        self._seen = sum(known) + ceil((turns - len(known)) * mean)
        self._looked_at = now
