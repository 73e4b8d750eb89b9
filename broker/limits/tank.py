"""One resource of a limit group: a level that refills at a rate, may go below zero, and is charged by weights."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from broker.domain.account import Limits
from broker.limits.port import Resource

MINUTE_S = 60.0
DAY_S = 86_400.0
REFUND_SURPLUS_S = 5.0
"""How far above the burst refunded tokens may lift a level, in seconds of its rate."""
REQUEST_BURST_S = 0.5
"""What an idle account saves up of its requests. Less than a provider's shortest window, a second: at 99 % of the rate
its bucket fills slowly, and what a burst leaves in there is all that the jitter of later arrivals can be taken from."""
TOKEN_BURST_S = 1.0
"""Of tokens, which come in larger pieces."""


class Measure(NamedTuple):
    """What a resource counts: its period in seconds, how much each part of a charge takes, and how much is saved up."""

    period_s: float
    per_request: float
    per_input_token: float
    per_output_token: float
    burst_s: float
    """In seconds of its rate."""


MEASURES: dict[Resource, Measure] = {
    Resource.REQUESTS: Measure(MINUTE_S, 1.0, 0.0, 0.0, REQUEST_BURST_S),
    Resource.TOKENS: Measure(MINUTE_S, 0.0, 1.0, 1.0, TOKEN_BURST_S),
    Resource.INPUT_TOKENS: Measure(MINUTE_S, 0.0, 1.0, 0.0, TOKEN_BURST_S),
    Resource.OUTPUT_TOKENS: Measure(MINUTE_S, 0.0, 0.0, 1.0, TOKEN_BURST_S),
    Resource.REQUESTS_PER_DAY: Measure(DAY_S, 1.0, 0.0, 0.0, DAY_S),
    Resource.TOKENS_PER_DAY: Measure(DAY_S, 0.0, 1.0, 1.0, DAY_S),
}


class Tank:
    """The level of one resource, in its own units (requests or tokens); rates are per second.

    A minute limit refills up to a burst, which is half a second of requests, at least one, or a second of tokens, and
    starts cold: with one request, without tokens. So a process that is restarted again and again never adds bursts,
    and the very first call of even the slowest account need not wait a period. A day limit holds the whole day and
    starts full: what earlier processes used of it is not known here, the provider's headers and refusals say.
    """

    __slots__ = (
        "burst",
        "burst_s",
        "declared",
        "level",
        "limit",
        "per_input_token",
        "per_output_token",
        "per_request",
        "period_s",
        "rate",
        "resource",
        "rho",
        "surplus_s",
    )

    def __init__(self, resource: Resource, limit: float, *, rho: float) -> None:
        measure = MEASURES[resource]
        self.resource = resource
        self.rho = rho
        self.period_s = measure.period_s
        self.per_request = measure.per_request
        self.per_input_token = measure.per_input_token
        self.per_output_token = measure.per_output_token
        self.burst_s = measure.burst_s
        # A server that counts requests by the second has no room for more than a full burst of them.
        self.surplus_s = 0.0 if self.per_request else REFUND_SURPLUS_S
        self._set(limit)
        self.declared = limit
        self.level = self.burst if self.daily else self.per_request

    @property
    def daily(self) -> bool:
        return self.period_s == DAY_S

    def refill(self, seconds: float) -> None:
        """Let time pass. Only the refill stops at the burst: what refunds put above it stays."""
        if self.level < self.burst:
            self.level = min(self.burst, self.level + self.rate * seconds)

    def give_back(self, amount: float, *, paused_for_s: float) -> None:
        """Return an over-estimate (negative: charge the rest of an under-estimate)."""
        self.level = level = self.level + amount
        if amount > 0:
            ceiling = self._ceiling(paused_for_s)
            if level > ceiling:
                self.level = max(ceiling, level - amount)

    def pause(self, seconds: float) -> None:
        """Take on so much debt that the level is at most zero when the pause ends."""
        self.level = min(self.level, -self.rate * seconds)

    def relimit(self, limit: float, *, paused_for_s: float) -> None:
        """Pace by another limit from now on; at most one period of the new rate is kept of an old debt."""
        self._set(limit)
        self.level = min(max(self.level, -self.rate * self.period_s), self._ceiling(paused_for_s))

    def declare(self, limit: float, *, rho: float, paused_for_s: float) -> None:
        """Take over what the operator says now; a limit that did not change keeps what headers said of it."""
        if (limit, rho) != (self.declared, self.rho):
            self.declared, self.rho = limit, rho
            self.relimit(limit, paused_for_s=paused_for_s)

    def _set(self, limit: float) -> None:
        if not (math.isfinite(limit) and limit > 0):
            raise ValueError(f"{self.resource}: a limit must be above zero, not {limit}")
        self.limit = limit
        self.rate = limit * self.rho / self.period_s
        self.burst = max(self.rate * self.burst_s, self.per_request)

    def _ceiling(self, paused_for_s: float) -> float:
        # What comes back during a pause must not be saved up for a burst at its end.
        if paused_for_s > 0 and not self.daily:
            return -self.rate * paused_for_s
        return self.burst + self.rate * self.surplus_s


def declared(limits: Limits) -> Iterator[tuple[Resource, float]]:
    """List the limits that are declared, by resource."""
    for resource, limit in (
        (Resource.REQUESTS, limits.requests_per_minute),
        (Resource.TOKENS, limits.tokens_per_minute),
        (Resource.INPUT_TOKENS, limits.input_tokens_per_minute),
        (Resource.OUTPUT_TOKENS, limits.output_tokens_per_minute),
        (Resource.REQUESTS_PER_DAY, limits.requests_per_day),
        (Resource.TOKENS_PER_DAY, limits.tokens_per_day),
    ):
        if limit is not None:
            yield resource, limit
