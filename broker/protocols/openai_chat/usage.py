"""Token usage of chat completions, in inclusive buckets."""

from broker.domain.usage import NO_USAGE, Usage, UsageSource
from broker.protocols.codec import Json
from broker.protocols.token_counts import part_of, tokens


def read_usage(value: Json, *, details_default_zero: bool) -> Usage:
    """Read the usage of a completion; what makes no sense is missing, and never raises."""
    reported = value.get("usage")
    if not isinstance(reported, dict):
        return NO_USAGE
    given = tokens(reported.get("prompt_tokens"))
    generated = tokens(reported.get("completion_tokens"))
    if given is None or generated is None:
        return NO_USAGE
    absent = 0 if details_default_zero else None
    prompt = reported.get("prompt_tokens_details")
    completion = reported.get("completion_tokens_details")
    return Usage(
        input_tokens=given,
        cache_read_tokens=part_of(prompt, "cached_tokens", given, absent),
        cache_write_tokens=part_of(prompt, "cache_write_tokens", given, absent),
        output_tokens=generated,
        reasoning_tokens=part_of(completion, "reasoning_tokens", generated, absent),
        source=UsageSource.REPORTED,
    )
