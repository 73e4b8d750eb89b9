"""Money is `Decimal` US dollars, kept to ten decimal places: a ten-billionth of a dollar."""

from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache

PLACES = 10
QUANTUM = Decimal(1).scaleb(-PLACES)
ZERO = Decimal(0)


def rounded(amount: Decimal) -> Decimal:
    """The amount as the ledger keeps it."""
    return amount.quantize(QUANTUM, rounding=ROUND_HALF_EVEN)


@lru_cache(maxsize=4096)
def to_units(amount: Decimal) -> int:
    """The amount as a whole number of quanta (SQLite has no decimal type, and sums must be exact)."""
    return int(rounded(amount).scaleb(PLACES))


def from_units(units: int) -> Decimal:
    """The inverse of `to_units`."""
    return Decimal(units).scaleb(-PLACES)
