"""Rate-limit headers of each provider, as its pages and captured responses show them, and as they should not be."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.provider import HeaderDialect
from broker.limits.observations import observations
from broker.limits.port import Observation, Resource

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT


def told(dialect: HeaderDialect, headers: Mapping[str, str]) -> dict[Resource, tuple[float | None, ...]]:
    """By resource: limit, what is left, and seconds to the reset."""
    return {seen.resource: (seen.limit, seen.remaining, seen.reset_s) for seen in observations(dialect, headers, NOW)}


def test_openai_tells_of_requests_and_tokens() -> None:
    headers = {
        "x-ratelimit-limit-requests": "5000",
        "x-ratelimit-remaining-requests": "4999",
        "x-ratelimit-reset-requests": "12ms",
        "x-ratelimit-limit-tokens": "160000",
        "x-ratelimit-remaining-tokens": "159976",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert observations(HeaderDialect.OPENAI, headers, NOW) == [
        Observation(resource=Resource.REQUESTS, limit=5000, remaining=4999, reset_s=0.012),
        Observation(resource=Resource.TOKENS, limit=160000, remaining=159976, reset_s=360.0),
    ]


def test_azure_counts_its_reset_in_seconds() -> None:
    headers = {
        "x-ratelimit-limit-tokens": "30000",
        "x-ratelimit-remaining-tokens": "29000",
        "x-ratelimit-reset-tokens": "2",
        "x-ratelimit-remaining-requests": "29",
        "x-ratelimit-limit-requests": "30",
    }
    assert told(HeaderDialect.AZURE, headers) == {
        Resource.REQUESTS: (30.0, 29.0, None),
        Resource.TOKENS: (30000.0, 29000.0, 2.0),
    }


def test_azure_writes_minus_one_where_it_does_not_know() -> None:
    headers = {
        "x-ratelimit-limit-tokens": "-1",
        "x-ratelimit-remaining-tokens": "-1",
        "x-ratelimit-reset-tokens": "0",
        "x-ratelimit-limit-requests": "-1",
        "x-ratelimit-remaining-requests": "-1",
    }
    assert observations(HeaderDialect.AZURE, headers, NOW) == []


def test_anthropic_tells_input_and_output_apart_and_its_summary_is_not_read() -> None:
    headers = {
        "anthropic-ratelimit-requests-limit": "4000",
        "anthropic-ratelimit-requests-remaining": "3999",
        "anthropic-ratelimit-requests-reset": "2027-01-15T08:00:01Z",
        "anthropic-ratelimit-input-tokens-limit": "400000",
        "anthropic-ratelimit-input-tokens-remaining": "399000",
        "anthropic-ratelimit-input-tokens-reset": "2027-01-15T08:00:00Z",
        "anthropic-ratelimit-output-tokens-limit": "80000",
        "anthropic-ratelimit-output-tokens-remaining": "80000",
        "anthropic-ratelimit-output-tokens-reset": "2027-01-15T07:59:59Z",
        "anthropic-ratelimit-tokens-limit": "480000",
        "anthropic-ratelimit-tokens-remaining": "1000",
        "anthropic-ratelimit-tokens-reset": "2027-01-15T08:00:00Z",
    }
    assert told(HeaderDialect.ANTHROPIC, headers) == {
        Resource.REQUESTS: (4000.0, 3999.0, 1.0),
        Resource.INPUT_TOKENS: (400000.0, 399000.0, 0.0),
        Resource.OUTPUT_TOKENS: (80000.0, 80000.0, 0.0),
    }


def test_groq_counts_requests_by_the_day() -> None:
    headers = {
        "x-ratelimit-limit-requests": "14400",
        "x-ratelimit-remaining-requests": "14370",
        "x-ratelimit-reset-requests": "2m59.56s",
        "x-ratelimit-limit-tokens": "18000",
        "x-ratelimit-remaining-tokens": "17997",
        "x-ratelimit-reset-tokens": "7.66s",
    }
    assert told(HeaderDialect.GROQ, headers) == {
        Resource.REQUESTS_PER_DAY: (14400.0, 14370.0, 179.56),
        Resource.TOKENS: (18000.0, 17997.0, 7.66),
    }


def test_mistral_names_the_minute() -> None:
    headers = {
        "x-ratelimit-limit-tokens-minute": "5000000",
        "x-ratelimit-remaining-tokens-minute": "4999911",
        "x-ratelimit-tokens-query-cost": "52",
        "x-ratelimit-limit-req-minute": "720",
        "x-ratelimit-remaining-req-minute": "717",
        "x-ratelimit-limit-tokens-month": "1",
        "x-ratelimit-remaining-tokens-month": "0",
    }
    assert told(HeaderDialect.MISTRAL, headers) == {
        Resource.REQUESTS: (720.0, 717.0, None),
        Resource.TOKENS: (5000000.0, 4999911.0, None),
    }


def test_together_tells_limits_of_a_second() -> None:
    headers = {
        "x-ratelimit-limit": "30",
        "x-ratelimit-remaining": "29",
        "x-ratelimit-reset": "1",
        "x-tokenlimit-limit": "3000",
        "x-tokenlimit-remaining": "2990",
    }
    assert told(HeaderDialect.TOGETHER, headers) == {
        Resource.REQUESTS: (1800.0, None, None),
        Resource.TOKENS: (180000.0, None, None),
    }


def test_fireworks_tells_tokens_of_a_second() -> None:
    headers = {"x-ratelimit-limit-tokens-prompt": "60000", "x-ratelimit-limit-tokens-generated": "600"}
    assert told(HeaderDialect.FIREWORKS, headers) == {
        Resource.INPUT_TOKENS: (3_600_000.0, None, None),
        Resource.OUTPUT_TOKENS: (36_000.0, None, None),
    }


@pytest.mark.parametrize(
    ("reset", "resource"),
    [
        ("1800000030000", Resource.REQUESTS),
        ("1800000030", Resource.REQUESTS),
        ("1800057600000", Resource.REQUESTS_PER_DAY),
        (None, None),
    ],
)
def test_openrouter_tells_by_the_reset_whether_the_day_or_the_minute_is_meant(
    reset: str | None, resource: Resource | None
) -> None:
    headers = {"x-ratelimit-limit": "50", "x-ratelimit-remaining": "0"}
    if reset is not None:
        headers["x-ratelimit-reset"] = reset
    found = told(HeaderDialect.OPENROUTER, headers)
    assert list(found) == ([] if resource is None else [resource])
    assert [values[:2] for values in found.values()] == ([] if resource is None else [(50.0, 0.0)])


def test_a_provider_without_headers_is_not_read() -> None:
    headers = {"x-ratelimit-limit-requests": "5", "x-ratelimit-remaining-requests": "0"}
    assert observations(HeaderDialect.NONE, headers, NOW) == []


@pytest.mark.parametrize(
    ("limit", "remaining", "expected"),
    [
        ("-1", "-1", None),
        ("0", "0", None),
        ("0", "10", None),
        ("many", "few", None),
        ("nan", "inf", None),
        ("100", "-1", (100.0, None)),
        ("many", "5", (None, 5.0)),
        (None, "5", (None, 5.0)),
        ("100", "0", (100.0, 0.0)),
        ("100", None, (100.0, None)),
    ],
)
def test_what_a_provider_does_not_know_is_no_observation(
    limit: str | None, remaining: str | None, expected: tuple[float | None, float | None] | None
) -> None:
    named = {"x-ratelimit-limit-tokens": limit, "x-ratelimit-remaining-tokens": remaining}
    headers = {name: value for name, value in named.items() if value is not None}
    found = [(seen.limit, seen.remaining) for seen in observations(HeaderDialect.OPENAI, headers, NOW)]
    assert found == ([] if expected is None else [expected])


@pytest.mark.parametrize("dialect", HeaderDialect)
def test_absent_headers_are_no_observation(dialect: HeaderDialect) -> None:
    assert observations(dialect, {"content-type": "application/json"}, NOW) == []


NAMES = st.sampled_from(
    [
        f"{start}{end}"
        for start in ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "x-tokenlimit-limit")
        for end in ("", "-requests", "-tokens", "-req-minute", "-tokens-prompt")
    ]
)


@given(st.sampled_from(HeaderDialect), st.dictionaries(NAMES, st.text(max_size=20) | st.floats().map(str)))
def test_no_header_is_an_error(dialect: HeaderDialect, headers: dict[str, str]) -> None:
    for seen in observations(dialect, headers, NOW):
        assert seen.limit is None or seen.limit > 0
        assert seen.remaining is None or seen.remaining >= 0
