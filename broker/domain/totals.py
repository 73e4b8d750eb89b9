"""What sets of calls have used together, and what they can be added up by."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from broker.domain.attempt import AttemptState
from broker.domain.money import ZERO


class Dimension(StrEnum):
    """What usage can be added up by."""

    PROJECT = "project"
    TAG = "tag"
    BATCH = "batch"
    ACCOUNT = "account"
    PROVIDER = "provider"
    MODEL = "model"
    """The name at the provider."""
    DAY = "day"
    """In UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a set of calls used; an unknown number adds nothing."""

    attempts: int = 0
    """Calls that have reported."""
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal = ZERO
    unpriced: int = 0
    """Calls that used tokens at an unknown price, and so are missing from `cost`."""

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            attempts=self.attempts + other.attempts,
            input_tokens=self.input_tokens + other.input_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            cost=self.cost + other.cost,
            unpriced=self.unpriced + other.unpriced,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageLine:
    """One group of calls."""

    keys: tuple[str | int, ...]
    """One per dimension that was asked for, in that order."""
    totals: Totals
    unknown: int
    """Calls whose outcome is unknown: their usage is in no sum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptGroup:
    """A batch's calls through one account that ended alike."""

    account: str
    provider: str
    state: AttemptState
    count: int
    """All of them, also those that have not reported."""
    totals: Totals
