from decimal import Decimal

import pytest

from broker.cli.figures import compact, count, duration, money, percent, plural, rate, shortened


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "?"), (-1.0, "0.0 s"), (0.84, "0.8 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min"),
        (192, "3 min 12 s"), (3599.7, "1 h"), (7500, "2 h 5 min"), (86_400, "1 d"), (273_600, "3 d 4 h"),
    ],
)  # fmt: skip
def test_durations(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("0", "$0.00"), ("0.0000000125", "$0.0000000125"), ("0.00042", "$0.0004200"), ("0.1329", "$0.1329"),
        ("1", "$1.00"), ("1234.567", "$1,234.57"),
    ],
)  # fmt: skip
def test_money_shows_what_matters(amount: str, words: str) -> None:
    assert money(Decimal(amount)) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0"), (999, "999"), (1000, "1.0k"), (21_440, "21.4k"), (999_400, "999k"), (999_900, "1.0M"), (3.2e9, "3.2G")],
)
def test_large_numbers_are_compact(number: float, words: str) -> None:
    assert compact(number) == words


@pytest.mark.parametrize(
    ("share", "words"), [(0, "0 %"), (0.001, "<1 %"), (0.5, "50 %"), (0.998, "99 %"), (1, "100 %")]
)
def test_all_and_nothing_are_said_of_nothing_else(share: float, words: str) -> None:
    assert percent(share) == words


def test_the_rest() -> None:
    assert (count(1234567), plural(1, "row"), plural(2000, "row")) == ("1,234,567", "1 row", "2,000 rows")
    assert (rate(0.04), rate(98.24), rate(2500.4)) == ("0.0", "98.2", "2,500")
    assert (shortened("a\nb", 9), shortened("abcdef", 4)) == ("a b", "abc…")
