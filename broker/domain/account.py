"""An account: the unit that a provider limits, with its secret by reference only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from broker.domain.dialect import Dialect
from broker.domain.provider import ProviderFacts


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
    protocols: tuple[Dialect, ...]
    """What it is spoken to in, the preferred one first; never empty."""
    base_url: str
    models: Mapping[str, str]
    """Logical name to the name at the provider."""
    secret: str | None = None
    auth_header: str = "authorization"
    auth_scheme: str = "Bearer"
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with every call, the provider's own ones included."""
    facts: ProviderFacts = field(default_factory=ProviderFacts)
    caps: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """What the operator knows of a model better, by logical model and the fields of `Caps`."""
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

    def url(self, target: Dialect, path: str, model: str) -> str:
        """Where a call goes. `path` is what the protocol says, below the base URL, unless the provider has its own.

        `model` is the name at the provider.
        """
        template = self.facts.paths.get(target)
        if template is not None:
            method = path.rpartition(":")[2]
            path = template.replace("{method}", method).replace("{model}", _quoted(model))
        return self.base_url.rstrip("/") + path


_KEPT = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/@:")


def _quoted(name: str) -> str:
    """A name as part of a path, without what would end it."""
    return "".join(
        letter if letter in _KEPT else "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "replace"))
        for letter in name
    )
