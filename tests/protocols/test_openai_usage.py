from typing import Any

import pytest

from broker.domain.usage import NO_USAGE, Usage, UsageSource
from broker.protocols import openai_embeddings
from broker.protocols.openai_chat.usage import read_usage

USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 10,
    "total_tokens": 30,
    "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 4},
}


def chat_usage(reported: Any, *, details_default_zero: bool) -> Usage:
    return read_usage({"usage": reported}, details_default_zero=details_default_zero)


def embeddings_usage(reported: Any) -> Usage:
    return openai_embeddings.CODEC.read_usage({"usage": reported}, details_default_zero=False)


def test_usage_is_inclusive_with_its_parts() -> None:
    assert chat_usage(USAGE, details_default_zero=True) == Usage(
        input_tokens=20,
        cache_read_tokens=5,
        cache_write_tokens=2,
        output_tokens=10,
        reasoning_tokens=4,
        source=UsageSource.REPORTED,
    )


@pytest.mark.parametrize(("default_zero", "absent"), [(True, 0), (False, None)])
@pytest.mark.parametrize("details", [{}, {"prompt_tokens_details": None, "completion_tokens_details": {}}])
def test_an_absent_detail_is_zero_only_where_that_is_documented(
    details: dict[str, Any],
    default_zero: bool,
    absent: int | None,
) -> None:
    reported = {"prompt_tokens": 3, "completion_tokens": 2} | details
    usage = chat_usage(reported, details_default_zero=default_zero)
    assert (usage.cache_read_tokens, usage.cache_write_tokens, usage.reasoning_tokens) == (absent, absent, absent)
    assert (usage.input_tokens, usage.output_tokens) == (3, 2)


@pytest.mark.parametrize(
    "reported",
    [
        None,
        [],
        "20",
        {},
        {"prompt_tokens": 1},
        {"completion_tokens": 1},
        {"prompt_tokens": -1, "completion_tokens": 1},
        {"prompt_tokens": 1.5, "completion_tokens": 1},
        {"prompt_tokens": "1", "completion_tokens": 1},
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": 1, "completion_tokens": 10**18},
    ],
)
def test_nonsense_usage_is_missing(reported: Any) -> None:
    assert chat_usage(reported, details_default_zero=True) == NO_USAGE
    assert embeddings_usage([reported]) == NO_USAGE


@pytest.mark.parametrize("cached", [-1, 21, 1.0, "5", [], True])
def test_a_detail_that_makes_no_sense_is_unknown(cached: Any) -> None:
    reported = USAGE | {"prompt_tokens_details": {"cached_tokens": cached}}
    usage = chat_usage(reported, details_default_zero=True)
    assert usage.input_tokens == 20
    assert usage.cache_read_tokens is None
