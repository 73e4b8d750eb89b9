"""Token usage of the OpenAI protocol, in inclusive buckets."""

from broker.domain.usage import NO_USAGE, Usage, UsageSource

# No call comes near it: a larger number is a fault of the provider, and would overflow sums.
_MOST_TOKENS = 1_000_000_000


def chat_usage(reported: object, *, details_default_zero: bool) -> Usage:
    """Read the usage of a chat completion; what makes no sense is missing, and never raises.

    `details_default_zero`: this provider documents that an absent detail means zero; elsewhere it is unknown.
    """
    if not isinstance(reported, dict):
        return NO_USAGE
    given = _tokens(reported.get("prompt_tokens"))
    generated = _tokens(reported.get("completion_tokens"))
    if given is None or generated is None:
        return NO_USAGE
    absent = 0 if details_default_zero else None
    prompt = reported.get("prompt_tokens_details")
    completion = reported.get("completion_tokens_details")
    return Usage(
        input_tokens=given,
        cache_read_tokens=_detail(prompt, "cached_tokens", given, absent),
        cache_write_tokens=_detail(prompt, "cache_write_tokens", given, absent),
        output_tokens=generated,
        reasoning_tokens=_detail(completion, "reasoning_tokens", generated, absent),
        source=UsageSource.REPORTED,
    )


def embeddings_usage(reported: object) -> Usage:
    """Read the usage of an embeddings list: input only, nothing is cached or generated."""
    given = _tokens(reported.get("prompt_tokens")) if isinstance(reported, dict) else None
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


def _tokens(value: object) -> int | None:
    # `type` and not `isinstance`: true is no number of tokens.
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None


def _detail(details: object, name: str, whole: int, absent: int | None) -> int | None:
    """Read one part of a bucket; a part larger than the whole says that it is not a part: unknown."""
    value = details.get(name) if isinstance(details, dict) else None
    if value is None:
        return absent
    part = _tokens(value)
    return part if part is not None and part <= whole else None
