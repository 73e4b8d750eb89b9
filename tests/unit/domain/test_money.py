"""Money, as the ledger keeps it."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.money import from_units, rounded, to_units


@pytest.mark.parametrize(
    ("amount", "kept"),
    [
        ("0.00000000005", "0"),
        ("0.00000000015", "0.0000000002"),
        ("0.000000000051", "0.0000000001"),
        ("-0.00000000015", "-0.0000000002"),
        ("12345678901.1", "12345678901.1"),
    ],
)
def test_an_amount_is_rounded_to_ten_places_half_to_even(amount: str, kept: str) -> None:
    assert rounded(Decimal(amount)) == Decimal(kept)


@given(st.integers(-(2**63), 2**63 - 1))
def test_units_and_amounts_are_the_same_thing(units: int) -> None:
    assert to_units(from_units(units)) == units


@given(st.lists(st.decimals(-1000, 1000, places=10), max_size=50))
def test_sums_of_units_are_exact(amounts: list[Decimal]) -> None:
    assert from_units(sum(map(to_units, amounts))) == sum(amounts, Decimal(0))
