import sys
from datetime import UTC, datetime
from decimal import Decimal
from subprocess import run

import genai_prices
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.accounting.pricing import FREE, UNPRICED, Pricing
from broker.domain.account import Account, Prices
from broker.domain.dialect import OPENAI_FAMILY
from broker.domain.money import rounded
from broker.domain.provider import ProviderFacts
from broker.domain.usage import NO_USAGE, Usage, UsageSource

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC).timestamp()
LISTED = f"genai-prices {genai_prices.__version__}"


def account(price_provider: str | None = "openai", *, free: bool = False, fast: Prices | None = None) -> Account:
    return Account(
        name="a",
        provider="somewhere",
        protocols=OPENAI_FAMILY,
        base_url="https://host/v1",
        models={"fast": "gpt-5-mini"},
        facts=ProviderFacts(free=free),
        price_provider=price_provider,
        prices={} if fast is None else {"fast": fast},
    )


def used(given: int | None, output: int | None, read: int | None = None, write: int | None = None) -> Usage:
    return Usage(
        input_tokens=given,
        output_tokens=output,
        cache_read_tokens=read,
        cache_write_tokens=write,
        source=UsageSource.REPORTED,
    )


# Flat, dated, with cache prices, tiered by input, priced per request, by hour of the day, and embeddings.
MODELS = [
    ("openai", "gpt-5-mini"),
    ("openai", "gpt-4o"),
    ("openai", "text-embedding-3-small"),
    ("openai", "gpt-5.4"),
    ("openai", "o3"),
    ("anthropic", "claude-sonnet-4-6"),
    ("anthropic", "claude-haiku-4-5"),
    ("anthropic", "claude-sonnet-4-5"),
    ("google", "gemini-2.5-pro"),
    ("google", "gemini-2.5-flash"),
    ("deepseek", "deepseek-chat"),
    ("deepseek", "deepseek-reasoner"),
    ("perplexity", "sonar"),
    ("perplexity", "sonar-deep-research"),
    ("mistral", "mistral-small-latest"),
    ("azure", "gpt-5-mini"),
]


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    given, output = draw(st.integers(0, 2_000_000)), draw(st.integers(0, 200_000))
    read = draw(st.none() | st.integers(0, given))
    write = draw(st.none() | st.integers(0, given - (read or 0)))
    reasoning = draw(st.none() | st.integers(0, output))
    return Usage(
        input_tokens=given,
        cache_read_tokens=read,
        cache_write_tokens=write,
        output_tokens=output,
        reasoning_tokens=reasoning,
    )


_PRICING = {provider: Pricing([account(provider)]) for provider, _ in MODELS}


@settings(deadline=None)  # the first example loads the price data
@given(
    model=st.sampled_from(MODELS),
    usage=usages(),
    at=st.datetimes(datetime(2023, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds are naive
)
def test_costs_are_exactly_those_of_the_library(model: tuple[str, str], usage: Usage, at: datetime) -> None:
    provider, name = model
    cost = _PRICING[provider].cost("a", "fast", name, usage, at=at.timestamp())
    assert cost.amount == rounded(_of_the_library(provider, name, usage, at))
    assert cost.version == LISTED


def _of_the_library(provider: str, name: str, usage: Usage, at: datetime) -> Decimal:
    counts = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
    )
    when = datetime.fromtimestamp(at.timestamp(), UTC)
    return genai_prices.calc_price(counts, name, provider_id=provider, genai_request_timestamp=when).total_price


def test_a_served_model_that_is_not_listed_falls_back_to_the_name_we_asked_for() -> None:
    pricing = Pricing([account()])
    asked = pricing.cost("a", "fast", None, used(1_000, 100), at=NOON)
    assert pricing.cost("a", "fast", "no-such-model", used(1_000, 100), at=NOON) == asked
    assert asked.amount == Decimal("0.00045")


def test_an_unknown_model_is_unpriced_and_not_free() -> None:
    cost = Pricing([account()]).cost("a", "other", "no-such-model", used(1, 1), at=NOON)
    assert (cost.amount, cost.version) == (None, UNPRICED)


def test_a_provider_without_a_list_is_unpriced() -> None:
    cost = Pricing([account(None)]).cost("a", "fast", "gpt-5-mini", used(1, 1), at=NOON)
    assert (cost.amount, cost.version) == (None, UNPRICED)


def test_a_provider_that_takes_nothing_is_free() -> None:
    cost = Pricing([account(None, free=True)]).cost("a", "fast", None, used(1, 1), at=NOON)
    assert (cost.amount, cost.version) == (Decimal(0), FREE)


CONTRADICTORY = [NO_USAGE, used(None, 5), used(5, None), used(5, 5, read=6), used(5, 5, read=3, write=3)]


@pytest.mark.parametrize("usage", CONTRADICTORY)
@pytest.mark.parametrize("fast", [None, Prices(input=Decimal(1), output=Decimal(1))])
def test_missing_or_contradictory_usage_has_no_cost(usage: Usage, fast: Prices | None) -> None:
    assert Pricing([account(fast=fast)]).cost("a", "fast", "gpt-5-mini", usage, at=NOON).amount is None


def test_declared_prices_replace_the_list() -> None:
    declared = Prices(input=Decimal(1), output=Decimal(4), cache_read=Decimal("0.1"), cache_write=Decimal(2))
    cost = Pricing([account(fast=declared)]).cost("a", "fast", "gpt-5-mini", used(100, 10, read=30, write=20), at=NOON)
    assert cost.amount == Decimal(50 * 1 + 3 + 20 * 2 + 10 * 4) / 1_000_000
    assert cost.version.startswith("override:")


def test_cached_tokens_cost_as_much_as_others_where_no_cache_price_is_declared() -> None:
    declared = Prices(input=Decimal(1), output=Decimal(0))
    pricing = Pricing([account(fast=declared)])
    assert pricing.cost("a", "fast", None, used(100, 0, read=50, write=50), at=NOON).amount == Decimal("0.0001")


def test_declared_prices_may_be_zero() -> None:
    declared = Prices(input=Decimal(0), output=Decimal(0))
    cost = Pricing([account(None, fast=declared)]).cost("a", "fast", None, used(9, 9), at=NOON)
    assert cost.amount == 0


def test_the_version_of_declared_prices_follows_their_values_and_not_their_spelling() -> None:
    def version(price: str) -> str:
        declared = Prices(input=Decimal(price), output=Decimal(1))
        return Pricing([account(fast=declared)]).cost("a", "fast", None, used(1, 1), at=NOON).version

    assert version("0.5") == version("0.50")
    assert version("0.5") != version("0.6")


def test_a_cost_is_kept_to_ten_places() -> None:
    declared = Prices(input=Decimal("0.000123456789"), output=Decimal(0))
    cost = Pricing([account(fast=declared)]).cost("a", "fast", None, used(1, 0), at=NOON)
    assert cost.amount == Decimal("0.0000000001")


def test_dated_prices_change_with_the_day_of_the_call() -> None:
    pricing = Pricing([account()])
    midnight = datetime(2025, 6, 10, tzinfo=UTC).timestamp()
    before, after, again = (
        pricing.cost("a", "fast", "o3", used(1_000_000, 0), at=at).amount
        for at in (midnight - 1, midnight, midnight - 1)
    )
    assert (before, after, again) == (Decimal(10), Decimal(2), Decimal(10))


def test_an_unknown_account_is_a_defect() -> None:
    with pytest.raises(KeyError):
        Pricing([]).cost("a", "fast", None, used(1, 1), at=NOON)


def test_the_price_data_is_loaded_only_when_a_list_price_is_asked_for() -> None:
    code = "import sys, broker.accounting.pricing as p; p.Pricing([]); print('genai_prices' in sys.modules)"
    assert run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
