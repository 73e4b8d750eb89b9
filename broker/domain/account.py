"""An account: the unit that a provider limits, with its secret by reference only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum


class ChargeMode(StrEnum):
    """What the provider counts against a token limit."""

    ACTUAL = "actual"
    """Input and output as they really are; output is counted as it is produced."""
    MAX_ONCE = "max_once"
    """The input estimate plus `max_tokens` at admission, never refunded (Azure OpenAI)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an account allows; `None` is undeclared."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    """Input and output together."""
    input_tokens_per_minute: float | None = None
    output_tokens_per_minute: float | None = None
    requests_per_day: float | None = None
    tokens_per_day: float | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """US dollars per million tokens, as the operator declares them for one model."""

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    """Default: the input price."""
    cache_write: Decimal | None = None
    """Default: the input price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscale:
    """Between how many worker processes a fleet may choose by itself, both included."""

    min: int
    max: int

    def within(self, processes: int) -> int:
        """The nearest number that is allowed."""
        return max(self.min, min(processes, self.max))


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One pooled account. `secret` names where the key is (`env:NAME`, `file:/path`), never the key."""

    name: str
    provider: str
    protocol: str
    base_url: str
    models: Mapping[str, str]
    """Logical name to the name at the provider."""
    secret: str | None = None
    auth_header: str = "authorization"
    auth_scheme: str = "Bearer"
    headers: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()
    limit_group: str = ""
    """Accounts that the provider limits together carry one group; the default is the account's name."""
    charge_mode: ChargeMode = ChargeMode.ACTUAL
    price_provider: str | None = None
    """The provider's id in the price list; `None`: not listed."""
    prices: Mapping[str, Prices] = field(default_factory=dict)
    """Overrides by logical model."""
    timeout_seconds: float = 600.0
    worker_concurrency: int = 64
    workers: int = 1
    """Worker processes of a fleet; where it scales by itself, what it begins with."""
    autoscale: Autoscale | None = None
    licence: str | None = None

    @property
    def group(self) -> str:
        return self.limit_group or self.name
