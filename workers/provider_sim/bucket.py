"""A token bucket as a server keeps it: refilled continuously, and below zero when it was overdrawn."""

_ROUNDING = 1e-6
"""Units; a client that waits exactly as long as it was told must be admitted."""


class Bucket:
    """One limit of one key. Times are seconds on any clock that never goes back."""

    __slots__ = ("_at", "_level", "capacity", "per_minute", "rate")

    def __init__(
        self, *, per_minute: float, window_s: float, now: float, full: bool = True, smallest: float = 0.0
    ) -> None:
        self.per_minute = per_minute
        self.rate = per_minute / 60.0
        self.capacity = max(self.rate * window_s, smallest)
        self._level = self.capacity if full else 0.0
        self._at = now

    def level(self, now: float) -> float:
        """Return what is left, at most the capacity."""
        if now > self._at:
            self._level = min(self.capacity, self._level + (now - self._at) * self.rate)
            self._at = now
        return self._level

    def missing(self, now: float) -> float:
        """Return what it takes to be full again."""
        return self.capacity - self.level(now)

    def wait_for(self, amount: float, now: float) -> float:
        """Seconds until `amount` fits, 0 when it does; more than the bucket holds fits when it is full."""
        short = min(amount, self.capacity) - self.level(now)
        return short / self.rate if short > _ROUNDING else 0.0

    def take(self, amount: float, now: float) -> None:
        """Charge; the level may go below zero."""
        self._level = self.level(now) - amount

    def penalise(self, amount: float, now: float) -> None:
        """Charge a rejected request; a client that hammers never digs deeper than one capacity."""
        self._level = max(min(self.level(now), -self.capacity), self.level(now) - amount)

    def give_back(self, amount: float, now: float) -> None:
        """Undo a charge."""
        self._level = min(self.capacity, self.level(now) + amount)
