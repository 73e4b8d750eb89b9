"""Reads the durations that providers write: seconds, Go durations, dates, epochs."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_S = 86_400.0
"""No wait is read as longer than a day: whatever is meant, asking again once a day costs nothing."""

_LONGEST_TEXT = 64
_EPOCH_S = 1e9
_EPOCH_MS = 1e11
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|d|h|m|s)", re.ASCII)
_CHAIN = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
_UNITS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def duration_s(text: str, now: float) -> float | None:
    """Seconds from `now` (Unix epoch) that a header or body value means; `None` for nonsense.

    Accepts `12.5`, `6m0s`, `12ms`, `36.4s`, an epoch in seconds or milliseconds (told by its size), an HTTP date
    and RFC 3339. What lies in the past is 0; what lies further ahead than a day is a day. Negative numbers
    are nonsense: providers write -1 where they do not know.
    """
    text = text.strip()
    if not text or len(text) > _LONGEST_TEXT:
        return None
    if _NUMBER.fullmatch(text):
        return _bounded(_seconds(float(text), now))
    if _CHAIN.fullmatch(text):
        return _bounded(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)))
    moment = _moment(text)
    return None if moment is None else _bounded(moment - now)


def _seconds(number: float, now: float) -> float:
    if number >= _EPOCH_MS:
        return number / 1000.0 - now
    return number - now if number >= _EPOCH_S else number


def _bounded(seconds: float) -> float:
    return min(max(0.0, seconds), LONGEST_S)


def _moment(text: str) -> float | None:
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            continue
    return None
