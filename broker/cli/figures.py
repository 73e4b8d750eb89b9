"""Numbers as people read them."""

from decimal import Decimal


def count(number: float) -> str:
    """12,345."""
    return f"{round(number):,}"


def compact(number: float) -> str:
    """0 to 999, then 1.2k, 34.5k, 678k, 1.2M."""
    for limit, divisor, unit in ((1e3, 1, ""), (1e6, 1e3, "k"), (1e9, 1e6, "M")):
        if number < limit * 0.9995:
            scaled = number / divisor
            return f"{scaled:.0f}{unit}" if not unit or scaled >= 99.95 else f"{scaled:.1f}{unit}"
    return f"{number / 1e9:,.1f}G"


def rate(per_s: float) -> str:
    """Per second, with a place behind the point where it matters."""
    return f"{per_s:.1f}" if per_s < 99.95 else count(per_s)


def percent(share: float) -> str:
    """97 %; never 100 % for less than all, nor 0 % for more than nothing."""
    hundredths = round(share * 100)
    if hundredths == 0 and share > 0:
        return "<1 %"
    if hundredths == 100 and share < 1:
        return "99 %"
    return f"{hundredths} %"


def money(amount: Decimal) -> str:
    """US dollars: cents from a dollar on, below that four digits that say something."""
    if amount == 0:
        return "$0.00"
    if amount >= 1:
        return f"${amount:,.2f}"
    places = max(4, 3 - amount.adjusted())
    return f"${amount:.{min(places, 10)}f}"


def duration(seconds: float | None) -> str:
    """0.8 s, 12 s, 3 min 12 s, 2 h 5 min, 3 d 4 h."""
    if seconds is None:
        return "?"
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    for limit, large, small, units in (
        (3600, 60, 1, "min s"),
        (86_400, 3600, 60, "h min"),
        (None, 86_400, 3600, "d h"),
    ):
        if whole < 60:
            return f"{whole} s"
        if limit is None or whole < limit:
            major, rest = divmod(whole, large)
            first, second = units.split()
            return f"{major} {first} {rest // small} {second}" if rest // small else f"{major} {first}"
    raise AssertionError("the last limit is none")


def plural(number: int, one: str, many: str | None = None) -> str:
    """1 row, 2 rows."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def shortened(text: str, width: int) -> str:
    """The text in one line of so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: max(0, width - 1)] + "…"
