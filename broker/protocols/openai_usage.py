"""Token usage as OpenAI counts it, in inclusive buckets: the same by two sets of names."""

from dataclasses import dataclass

from broker.domain.usage import NO_USAGE, Usage, UsageSource
from broker.protocols.token_counts import part_of, tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageNames:
    """What the counts are called."""

    given: str
    given_details: str
    generated: str
    generated_details: str


CHAT = UsageNames(
    given="prompt_tokens",
    given_details="prompt_tokens_details",
    generated="completion_tokens",
    generated_details="completion_tokens_details",
)
RESPONSES = UsageNames(
    given="input_tokens",
    given_details="input_tokens_details",
    generated="output_tokens",
    generated_details="output_tokens_details",
)


def inclusive_usage(reported: object, names: UsageNames, *, details_default_zero: bool) -> Usage:
    """Read a usage object; what makes no sense is missing, and never raises."""
    if not isinstance(reported, dict):
        return NO_USAGE
    given = tokens(reported.get(names.given))
    generated = tokens(reported.get(names.generated))
    if given is None or generated is None:
        return NO_USAGE
    absent = 0 if details_default_zero else None
    inside = reported.get(names.given_details)
    return Usage(
        input_tokens=given,
        cache_read_tokens=part_of(inside, "cached_tokens", given, absent),
        cache_write_tokens=part_of(inside, "cache_write_tokens", given, absent),
        output_tokens=generated,
        reasoning_tokens=part_of(reported.get(names.generated_details), "reasoning_tokens", generated, absent),
        source=UsageSource.REPORTED,
    )
