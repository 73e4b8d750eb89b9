"""Token usage of the OpenAI protocol, in inclusive buckets."""

from broker.domain.usage import NO_USAGE, Usage, UsageSource
from broker.protocols.token_counts import part_of, tokens


def chat_usage(reported: object, *, details_default_zero: bool) -> Usage:
    """Read the usage of a chat completion; what makes no sense is missing, and never raises.

    `details_default_zero`: this provider documents that an absent detail means zero; elsewhere it is unknown.
    """
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


def embeddings_usage(reported: object) -> Usage:
    """Read the usage of an embeddings list: input only, nothing is cached or generated."""
    given = tokens(reported.get("prompt_tokens")) if isinstance(reported, dict) else None
    if given is None:
        return NO_USAGE
    return Usage(
        input_tokens=given,
        cache_read_tokens=0,
        cache_write_tokens=0,
        output_tokens=0,
        reasoning_tokens=0,
        source=UsageSource.REPORTED,
    )
