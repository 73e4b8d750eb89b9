"""Headers and messages that say how long to wait, as providers write them and as they should not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.limits.durations import duration_s
from broker.limits.headers import hint_in_message, retry_hint

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT
DAY = 86_400.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20", 20.0),
        (" 0.5 ", 0.5),
        ("0", 0.0),
        ("36.4s", 36.4),
        ("12ms", 0.012),
        ("6m0s", 360.0),
        ("2m59.56s", 179.56),
        ("1h2m3s", 3723.0),
        ("1d", DAY),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("2027-01-15T08:01:00Z", 60.0),
        ("2027-01-15T09:01:00+01:00", 60.0),
        ("2027-01-15T07:59:00Z", 0.0),
        ("1800000045", 45.0),
        ("1800000045500", 45.5),
        ("1700000000", 0.0),
        ("90000", DAY),
        ("2028-01-01T00:00:00Z", DAY),
    ],
)
def test_a_duration_is_read_in_every_spelling(text: str, seconds: float) -> None:
    assert duration_s(text, NOW) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    "text",
    ["", "-1", "-5s", "soon", "nan", "inf", "1e5", "5 apples", "s", "1.2.3", "9" * 100, "٣", "2027-13-45T00:00:00Z"],
)
def test_a_duration_that_makes_no_sense_is_none(text: str) -> None:
    assert duration_s(text, NOW) is None


@given(st.text(max_size=80))
def test_no_text_is_an_error(text: str) -> None:
    seconds = duration_s(text, NOW)
    assert seconds is None or 0.0 <= seconds <= DAY
    hint_in_message(text, NOW)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "2"}, 2.0),
        ({"retry-after-ms": "-1", "retry-after": "2"}, 2.0),
        ({"retry-after-ms": "nan"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "604800"}, DAY),
        ({"retry-after-ms": "1e12"}, DAY),
    ],
)
def test_the_retry_headers_are_read_finest_first(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_hint(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached for gpt-5. Please try again in 41.724s. Visit the limits page.", 41.724),
        ("Limit 200000, Used 199999, Requested 10. Please try again in 12ms.", 0.012),
        ("please try again in 6m0s.", 360.0),
        ("Try again in 3 seconds.", 3.0),
        ("Please retry after 26 seconds.", 26.0),
        ("Please retry your request after 1 minute", 60.0),
        ("Please retry in 20.", 20.0),
        ("try again in 5 days", DAY),
        ("Please try again later.", None),
        ("The server is overloaded", None),
        ("", None),
    ],
)
def test_a_hint_in_words_is_found(message: str, seconds: float | None) -> None:
    assert hint_in_message(message, NOW) == (None if seconds is None else pytest.approx(seconds))
