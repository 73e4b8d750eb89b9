"""The list prices of genai-prices, as sums of a few decimals instead of a 50 µs call.

A price that depends linearly on the token counts is found once, by asking the library for one token of each kind;
every later call is then five multiplications with the same exact result. Prices with tiers or daily hours are
not linear and stay with the library. Nothing here fetches: the library does that only when it is told to.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from broker.domain.usage import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

_DAY_S = 86_400
_MAX_NAMES = 4_096
"""An endpoint that answers with another model name each time must not grow the process."""
_NOTHING = Usage(input_tokens=0, cache_read_tokens=0, cache_write_tokens=0, output_tokens=0, reasoning_tokens=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Linear:
    """US dollars per call and per token; a part's price is the difference to the whole that contains it."""

    call: Decimal
    input: Decimal
    cache_read: Decimal
    cache_write: Decimal
    output: Decimal
    reasoning: Decimal


class Listed:
    """One model of the list, with its linear prices of the current day once they are known."""

    __slots__ = ("_day", "_linear", "_model", "_provider")

    def __init__(self, provider: "Provider", model: "ModelInfo") -> None:
        self._provider = provider
        self._model = model
        self._day: int | None = None
        self._linear: _Linear | None = None

    def price(self, usage: Usage, at: float) -> Decimal | None:
        day = int(at // _DAY_S)
        if day != self._day:  # dated prices change at midnight UTC
            self._linear = self._probe(at) if self._is_linear(at) else None
            self._day = day
        linear = self._linear
        if linear is None:
            return self._ask(usage, at)
        return (
            linear.call
            + (usage.input_tokens or 0) * linear.input
            + (usage.cache_read_tokens or 0) * linear.cache_read
            + (usage.cache_write_tokens or 0) * linear.cache_write
            + (usage.output_tokens or 0) * linear.output
            + (usage.reasoning_tokens or 0) * linear.reasoning
        )

    def _is_linear(self, at: float) -> bool:
        from genai_prices.types import ModelPrice, TieredPrices, TimeOfDateConstraint

        prices = self._model.prices
        if not isinstance(prices, ModelPrice) and any(isinstance(p.constraint, TimeOfDateConstraint) for p in prices):
            return False
        today = self._model.get_prices(datetime.fromtimestamp(at, UTC))
        return not any(isinstance(price, TieredPrices) for price in vars(today).values())

    def _probe(self, at: float) -> _Linear | None:
        """Ask for one token of each kind; `None` when the library cannot price one of them."""
        call = self._ask(_NOTHING, at)
        one_in = self._ask(replace(_NOTHING, input_tokens=1), at)
        read = self._ask(replace(_NOTHING, input_tokens=1, cache_read_tokens=1), at)
        write = self._ask(replace(_NOTHING, input_tokens=1, cache_write_tokens=1), at)
        one_out = self._ask(replace(_NOTHING, output_tokens=1), at)
        reasoning = self._ask(replace(_NOTHING, output_tokens=1, reasoning_tokens=1), at)
        if call is None or one_in is None or read is None or write is None or one_out is None or reasoning is None:
            return None
        return _Linear(
            call=call,
            input=one_in - call,
            cache_read=read - one_in,
            cache_write=write - one_in,
            output=one_out - call,
            reasoning=reasoning - one_out,
        )

    def _ask(self, usage: Usage, at: float) -> Decimal | None:
        from genai_prices import Usage as ListedUsage

        counts = ListedUsage(
            input_tokens=usage.input_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            output_tokens=usage.output_tokens,
            output_reasoning_tokens=usage.reasoning_tokens,
        )
        when = datetime.fromtimestamp(at, UTC)
        try:
            return self._model.calc_price(counts, self._provider, genai_request_timestamp=when).total_price
        except ValueError:
            return None  # counts that contradict each other, or too coarse for how this model is priced


class PriceList:
    """Finds models by provider and name; the library and its data are loaded at the first look-up (50 ms)."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, str], Listed | None] = {}
        self._version = ""

    @property
    def version(self) -> str:
        """Name the list and its version, for the ledger."""
        if not self._version:
            from genai_prices import __version__

            self._version = f"genai-prices {__version__}"
        return self._version

    def find(self, provider: str, model: str) -> Listed | None:
        """Find what the list has under this name; `None` when it has nothing.

        What is found has `price(usage, at)`: US dollars at full precision for a usage with input and output
        counts, for a call made `at` (epoch seconds), or `None` when the counts cannot be priced.
        """
        key = (provider, model)
        if key not in self._models:
            if len(self._models) >= _MAX_NAMES:
                self._models.clear()
            self._models[key] = _look_up(provider, model)
        return self._models[key]


def _look_up(provider: str, model: str) -> Listed | None:
    from genai_prices.data_snapshot import get_snapshot

    try:
        return Listed(*get_snapshot().find_provider_model(model, None, provider, None))
    except LookupError:
        return None
