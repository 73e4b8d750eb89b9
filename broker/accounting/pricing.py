"""What a call cost: the operator's own prices first, then the price list that ships with genai-prices."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from broker.accounting.price_list import PriceList
from broker.domain.account import Account, Prices
from broker.domain.money import ZERO, rounded
from broker.domain.usage import Usage

UNPRICED = "unpriced"
FREE = "free"
_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one call cost, and by which prices."""

    amount: Decimal | None
    """US dollars as the ledger keeps them; `None`: not known, which is not free."""
    version: str
    """`override:<digest>`, `genai-prices <version>`, `free`, or `unpriced` when no price applies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Override:
    """One model's declared prices, in US dollars per token."""

    input: Decimal
    cache_read: Decimal
    cache_write: Decimal
    output: Decimal
    version: str


class Pricing:
    """Prices the calls of a fixed set of accounts; pure but for a cache, and never on the network."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._accounts = {account.name: account for account in accounts}
        self._overrides = {
            (account.name, model): _override(prices)
            for account in self._accounts.values()
            for model, prices in account.prices.items()
        }
        self._free = frozenset(account.name for account in self._accounts.values() if account.facts.free)
        self._list = PriceList()

    def cost(self, account: str, model: str, served: str | None, usage: Usage, *, at: float) -> Cost:
        """Price one call of the account named `account` for the logical `model`, made `at` (epoch seconds).

        `served` is the model that the answer names; where the price list does not know it, the account's own name
        for `model` is looked up instead. Without input and output counts, or with counts that contradict each
        other, the amount is `None`. A missing cache count is priced as if nothing was cached: an upper bound
        for reads. Raises `KeyError` for an unknown account.
        """
        owner = self._accounts[account]
        override = self._overrides.get((account, model))
        if override is not None:
            return Cost(amount=_overridden(override, usage), version=override.version)
        if account in self._free:
            return Cost(amount=ZERO, version=FREE)
        if owner.price_provider is None:
            return Cost(amount=None, version=UNPRICED)
        return self._listed(owner.price_provider, (served, owner.models.get(model)), usage, at)

    def _listed(self, provider: str, names: Iterable[str | None], usage: Usage, at: float) -> Cost:
        for name in names:
            listed = self._list.find(provider, name) if name is not None else None
            if listed is not None:
                amount = listed.price(usage, at) if consistent(usage) else None
                return Cost(amount=None if amount is None else rounded(amount), version=self._list.version)
        return Cost(amount=None, version=UNPRICED)


def consistent(usage: Usage) -> bool:
    """Tell whether the counts are all there and the parts fit into the wholes."""
    if usage.input_tokens is None or usage.output_tokens is None:
        return False
    cached = (usage.cache_read_tokens or 0) + (usage.cache_write_tokens or 0)
    return cached <= usage.input_tokens and (usage.reasoning_tokens or 0) <= usage.output_tokens


def _override(prices: Prices) -> _Override:
    read = prices.input if prices.cache_read is None else prices.cache_read
    write = prices.input if prices.cache_write is None else prices.cache_write
    # The digest is of the values, so that 0.5 and 0.50 are the same version.
    spelled = "|".join(format(price.normalize(), "f") for price in (prices.input, read, write, prices.output))
    return _Override(
        input=prices.input / _MILLION,
        cache_read=read / _MILLION,
        cache_write=write / _MILLION,
        output=prices.output / _MILLION,
        version=f"override:{hashlib.sha256(spelled.encode()).hexdigest()[:12]}",
    )


def _overridden(prices: _Override, usage: Usage) -> Decimal | None:
    if usage.input_tokens is None or usage.output_tokens is None or not consistent(usage):
        return None
    read, write = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
    return rounded(
        (usage.input_tokens - read - write) * prices.input
        + read * prices.cache_read
        + write * prices.cache_write
        + usage.output_tokens * prices.output
    )
