"""Counters of one key: what it asked for, what it got, and when."""

from collections import Counter

from pydantic import JsonValue


class KeyCounters:
    """Grows by one entry per second with admitted calls, and by nothing else."""

    def __init__(self) -> None:
        self.requests = 0
        self.accepted = 0
        self.paid = 0
        self.max_in_flight = 0
        self.rejected: Counter[str] = Counter()
        """By cause, before admission."""
        self.faults: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        """Of paid calls that have ended."""
        self.tokens: Counter[str] = Counter()
        """Of paid calls, from the moment they began."""
        self.accepted_per_second: Counter[int] = Counter()
        """By whole seconds since the start."""

    def accept(self, at: float, in_flight: int) -> None:
        """Count an admission, at that many seconds since the start."""
        self.accepted += 1
        self.accepted_per_second[int(at)] += 1
        self.max_in_flight = max(self.max_in_flight, in_flight)

    def pay(self, *, input_tokens: int, cached_tokens: int, output_tokens: int, reasoning_tokens: int) -> None:
        """Count a generation that began."""
        self.paid += 1
        self.tokens["input"] += input_tokens
        self.tokens["cached"] += cached_tokens
        self.tokens["output"] += output_tokens
        self.tokens["reasoning"] += reasoning_tokens

    def as_json(self, in_flight: int) -> dict[str, JsonValue]:
        """For `/sim/stats`."""
        seconds = sorted(self.accepted_per_second.items())
        return {
            "requests": self.requests,
            "accepted": self.accepted,
            "paid": self.paid,
            "in_flight": in_flight,
            "max_in_flight": self.max_in_flight,
            "rejected": _plain(self.rejected),
            "faults": _plain(self.faults),
            "outcomes": _plain(self.outcomes),
            "tokens": {name: self.tokens[name] for name in ("input", "cached", "output", "reasoning")},
            "accepted_per_second": {str(second): count for second, count in seconds},
        }


def _plain(counter: Counter[str]) -> dict[str, JsonValue]:
    return dict(sorted(counter.items()))
