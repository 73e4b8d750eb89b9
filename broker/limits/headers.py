"""Reads how long response headers and error messages say to wait. Header names are lower case."""

import math
import re
from collections.abc import Mapping

from broker.limits.durations import LONGEST_S, duration_s

_LONGEST_MESSAGE = 4096
_HINT = re.compile(
    r"\b(?:try again|retry|retry your request)\s+(?:in|after)\s+"
    r"(?P<value>\d+(?:\.\d+)?[a-zµ0-9.]*)(?:\s+(?P<unit>[a-z]+))?",
    re.IGNORECASE | re.ASCII,
)
_UNIT_WORDS = {"millisecond": "ms", "second": "s", "minute": "m", "hour": "h", "day": "d"}


def retry_hint(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait as `retry-after-ms` or `retry-after` say; `None` when they are absent or nonsense.

    `now` is seconds since the Unix epoch, for dates. 0 is an answer (at once); a wait of more than a day is read
    as a day, so a caller that knows the limit to be by the minute can still cap it.
    """
    milliseconds = headers.get("retry-after-ms")
    if milliseconds is not None and (value := _number(milliseconds)) is not None and value >= 0:
        return min(value / 1000.0, LONGEST_S)
    seconds = headers.get("retry-after")
    return None if seconds is None else duration_s(seconds, now)


def hint_in_message(message: str, now: float) -> float | None:
    """Seconds to wait as an error message says in words ("try again in 41.724s"), `None` when it says nothing."""
    found = _HINT.search(message[:_LONGEST_MESSAGE])
    if found is None:
        return None
    value, unit = found["value"].rstrip("."), (found["unit"] or "").lower()
    return duration_s(value + _UNIT_WORDS.get(unit.removesuffix("s"), ""), now)


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
