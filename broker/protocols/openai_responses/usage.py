"""Token usage of responses, in inclusive buckets, read and written."""

from broker.domain.usage import NO_USAGE, Usage, UsageSource
from broker.protocols.codec import Json
from broker.protocols.token_counts import part_of, tokens


def read_usage(value: Json, *, details_default_zero: bool) -> Usage:
    """Read the usage of a response; what makes no sense is missing, and never raises."""
    reported = value.get("usage")
    if not isinstance(reported, dict):
        return NO_USAGE
    given = tokens(reported.get("input_tokens"))
    generated = tokens(reported.get("output_tokens"))
    if given is None or generated is None:
        return NO_USAGE
    absent = 0 if details_default_zero else None
    inside = reported.get("input_tokens_details")
    return Usage(
        input_tokens=given,
        cache_read_tokens=part_of(inside, "cached_tokens", given, absent),
        cache_write_tokens=part_of(inside, "cache_write_tokens", given, absent),
        output_tokens=generated,
        reasoning_tokens=part_of(reported.get("output_tokens_details"), "reasoning_tokens", generated, absent),
        source=UsageSource.REPORTED,
    )


def write_usage(usage: Usage) -> dict[str, object] | None:
    """The inverse of reading; `None` where nothing is known.

    The details are required by this dialect, so what is not known of them reads as zero here; the ledger knows better.
    """
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens or 0,
            "cache_write_tokens": usage.cache_write_tokens or 0,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
