"""Gemini's token counts, in inclusive buckets."""

from typing import Any

import pytest

from broker.domain.usage import NO_USAGE, UsageSource
from broker.protocols.gemini_generate_content import CODEC


def usage(**counts: Any) -> Any:
    return CODEC.read_usage({"usageMetadata": counts}, details_default_zero=False)


def test_thoughts_are_part_of_the_output_and_what_tools_add_of_the_input() -> None:
    found = usage(
        promptTokenCount=100,
        cachedContentTokenCount=80,
        toolUsePromptTokenCount=7,
        candidatesTokenCount=20,
        thoughtsTokenCount=50,
        totalTokenCount=177,
    )
    assert (found.input_tokens, found.cache_read_tokens, found.cache_write_tokens) == (107, 80, 0)
    assert (found.output_tokens, found.reasoning_tokens) == (70, 50)
    assert found.source is UsageSource.REPORTED


def test_counts_of_zero_are_not_written() -> None:
    found = usage(promptTokenCount=5)
    assert (found.input_tokens, found.cache_read_tokens, found.output_tokens, found.reasoning_tokens) == (5, 0, 0, 0)


def test_counts_may_be_texts() -> None:
    found = usage(promptTokenCount="12", candidatesTokenCount="3")
    assert (found.input_tokens, found.output_tokens) == (12, 3)


@pytest.mark.parametrize(
    "counts",
    [
        {},
        {"totalTokenCount": 9},
        {"promptTokenCount": True},
        {"promptTokenCount": -1},
        {"promptTokenCount": 1.5},
        {"promptTokenCount": 10**12},
        {"promptTokenCount": "9" * 30},
        {"promptTokenCount": 5, "candidatesTokenCount": "many"},
        {"promptTokenCount": 5, "thoughtsTokenCount": -2},
        {"promptTokenCount": 5, "toolUsePromptTokenCount": []},
    ],
)
def test_nonsense_is_missing(counts: Any) -> None:
    assert usage(**counts) == NO_USAGE


@pytest.mark.parametrize("value", [{}, {"usageMetadata": None}, {"usageMetadata": [1]}, {"usageMetadata": "7"}])
def test_no_usage_is_missing(value: Any) -> None:
    assert CODEC.read_usage(value, details_default_zero=True) == NO_USAGE


def test_a_part_larger_than_the_whole_is_unknown() -> None:
    found = usage(promptTokenCount=5, cachedContentTokenCount=6)
    assert (found.input_tokens, found.cache_read_tokens) == (5, None)


def test_vectors_may_tell_their_own_counts() -> None:
    def found(*counts: Any) -> Any:
        embeddings = [{"values": [1.0], "statistics": {"tokenCount": count}} for count in counts]
        return CODEC.read_usage({"embeddings": embeddings}, details_default_zero=False)

    assert found(3, 4.0).input_tokens == 7
    for odd in ("3", None, 1.5, True, -1, float("inf"), float("nan"), 10**30):
        assert found(3, odd) == NO_USAGE


@pytest.mark.parametrize(
    ("total", "notes"), [(9, ()), (10, ("usage_total_differs",)), ("9", ()), (None, ()), ("x", ())]
)
def test_a_total_that_is_not_the_sum_is_noted(total: Any, notes: tuple[str, ...]) -> None:
    reported = {"promptTokenCount": 4, "candidatesTokenCount": 5, "totalTokenCount": total}
    value = {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}], "usageMetadata": reported}
    answer = CODEC.read_answer(value, CODEC.read_usage(value, details_default_zero=False))
    assert answer.notes == notes
    assert answer.usage_raw == reported


def test_missing_usage_is_noted() -> None:
    value = {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]}
    assert CODEC.read_answer(value, NO_USAGE).notes == ("usage_missing",)
