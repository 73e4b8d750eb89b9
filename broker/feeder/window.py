"""How many jobs of a route wait in front of its workers: few enough to stay fair, enough to never run dry."""

import math

QUEUE_SECONDS = 3.0
"""For a queue behind a network: what hides its latency and still lets cancel and fairness act at once."""
LOCAL_SECONDS = 0.2
"""For a window in the same process, which the feeder fills again without a round trip: a tenth of a second for what
the workers hold with a start time, and another so that none of them finds it empty. What it holds, a new batch waits
for."""


def target(
    *,
    rate_per_s: float,
    free_slots: int,
    seconds: float = QUEUE_SECONDS,
    allowed_per_s: float | None = None,
    consumers: int = 1,
) -> int:
    """Jobs that the window of a route should hold, everything prefetched included; one per consumer at least.

    That is `seconds` of the recent completion rate, but enough to fill all free slots. Where the limits are known
    to start no more than `allowed_per_s` jobs a second, free slots ask for no more than `seconds` of that: most
    slots of an account that is held by its rate are always free, and jobs waiting for the rate belong in the
    feeder, where a newer batch can still go before them.
    """
    recent = math.ceil(max(0.0, rate_per_s) * seconds)
    fill = max(0, free_slots)
    if allowed_per_s is not None and math.isfinite(allowed_per_s):
        fill = min(fill, math.ceil(max(0.0, allowed_per_s) * seconds))
    return max(1, consumers, recent, fill)


PACKED_S = 0.1
"""A turn holds what one worker starts in so long, at most: what it holds, no other worker can take."""


def packing(*, per_worker_s: float, most: int, left: int) -> int:
    """Jobs to a turn: one for slow workers and in the tail, up to `most` for fast ones.

    `per_worker_s` is how many jobs the slowest worker starts a second; `left` how many each will still get, a
    quarter of which are handed over at once at most: so workers end together. What packing spares, the transport's
    cost of a message, nobody notices below some hundred jobs a second.
    """
    return max(1, min(most, int(per_worker_s * PACKED_S), left // 4))


class RateMeter:
    """Completions per second, of which older ones count less and less (exponentially, over `memory_s`).

    `now` is in seconds on a clock of the caller; a step back counts as no time passed.
    """

    __slots__ = ("_memory_s", "_seen_at", "_since", "_weight")

    def __init__(self, *, now: float, memory_s: float = 3.0) -> None:
        if not 0.0 < memory_s < math.inf:
            raise ValueError(f"the memory of a rate meter must be positive and finite, not {memory_s}")
        self._memory_s = memory_s
        self._since = now
        self._seen_at = now
        self._weight = 0.0

    def add(self, count: int, *, now: float) -> None:
        """So many jobs have completed since the last call."""
        self._decay(now)
        self._weight += count

    def rate(self, *, now: float) -> float:
        """Completions per second of late."""
        self._decay(now)
        # A young meter has not seen its whole memory yet. Less than a tenth of it is no basis for a rate:
        # there a single completion would read as hundreds a second.
        age = max(self._seen_at - self._since, self._memory_s / 10)
        return self._weight / (self._memory_s * -math.expm1(-age / self._memory_s))

    def _decay(self, now: float) -> None:
        elapsed = now - self._seen_at
        if elapsed > 0.0:
            self._weight *= math.exp(-elapsed / self._memory_s)
            self._seen_at = now
