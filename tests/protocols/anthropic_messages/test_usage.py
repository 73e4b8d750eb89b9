"""Usage is exclusive at Anthropic and inclusive here; the two are turned into each other exactly."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.usage import NO_USAGE, Usage, UsageSource
from broker.protocols.anthropic_messages.usage import read_usage, write_usage

COUNT = st.integers(0, 1_000_000)


def read(usage: Any, *, details_default_zero: bool = False) -> Usage:
    return read_usage({"usage": usage}, details_default_zero=details_default_zero)


def test_the_cache_counts_as_input() -> None:
    reported = {
        "input_tokens": 50,
        "cache_creation_input_tokens": 248,
        "cache_read_input_tokens": 1800,
        "output_tokens": 503,
        "output_tokens_details": {"thinking_tokens": 400},
    }
    assert read(reported) == Usage(
        input_tokens=2098,
        cache_read_tokens=1800,
        cache_write_tokens=248,
        output_tokens=503,
        reasoning_tokens=400,
        source=UsageSource.REPORTED,
    )


def test_what_is_not_said_is_unknown_unless_the_provider_documents_zero() -> None:
    reported = {"input_tokens": 5, "output_tokens": 6, "cache_read_input_tokens": None}
    usage = read(reported)
    assert (usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens) == (5, None, None)
    assert usage.reasoning_tokens is None
    usage = read(reported, details_default_zero=True)
    assert (usage.input_tokens, usage.cache_read_tokens, usage.reasoning_tokens) == (5, 0, 0)


def test_writes_by_time_to_live_are_a_whole_where_none_is_given() -> None:
    split = {"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 100}
    usage = read({"input_tokens": 1, "output_tokens": 1, "cache_creation": split})
    assert (usage.cache_write_tokens, usage.input_tokens) == (248, 249)
    whole = {"input_tokens": 1, "output_tokens": 1, "cache_creation": split, "cache_creation_input_tokens": 3}
    assert read(whole).cache_write_tokens == 3


@pytest.mark.parametrize(
    "reported",
    [
        None,
        7,
        [],
        {},
        {"input_tokens": 5},
        {"output_tokens": 5},
        {"input_tokens": True, "output_tokens": 1},
        {"input_tokens": 1.0, "output_tokens": 1},
        {"input_tokens": "1", "output_tokens": 1},
        {"input_tokens": -1, "output_tokens": 1},
        {"input_tokens": 1, "output_tokens": 10**12},
        {"input_tokens": 1, "output_tokens": 1, "cache_read_input_tokens": -1},
        {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": "2"},
        {"input_tokens": 1, "output_tokens": 1, "cache_creation": {"ephemeral_5m_input_tokens": -2}},
        {"input_tokens": 10**9, "output_tokens": 1, "cache_read_input_tokens": 1},
    ],
)
def test_nonsense_is_no_usage(reported: Any) -> None:
    assert read(reported) == NO_USAGE


def test_thoughts_that_are_more_than_the_output_are_unknown() -> None:
    usage = read({"input_tokens": 1, "output_tokens": 5, "output_tokens_details": {"thinking_tokens": 6}})
    assert (usage.output_tokens, usage.reasoning_tokens) == (5, None)


@given(COUNT, COUNT, COUNT, COUNT, COUNT)
def test_what_is_written_reads_the_same(fresh: int, had: int, took: int, said: int, thought: int) -> None:
    usage = Usage(
        input_tokens=fresh + had + took,
        cache_read_tokens=had,
        cache_write_tokens=took,
        output_tokens=said + thought,
        reasoning_tokens=thought,
        source=UsageSource.REPORTED,
    )
    written = write_usage(usage, "default")
    assert written["input_tokens"] == fresh
    assert read(written) == usage


@given(COUNT, COUNT)
def test_the_unknown_stays_unknown(given_: int, generated: int) -> None:
    usage = Usage(input_tokens=given_, output_tokens=generated, source=UsageSource.REPORTED)
    assert read(write_usage(usage, None)) == usage


def test_a_cache_larger_than_the_input_writes_no_negative_number() -> None:
    usage = Usage(input_tokens=5, cache_read_tokens=9, output_tokens=1)
    assert write_usage(usage, None)["input_tokens"] == 0
