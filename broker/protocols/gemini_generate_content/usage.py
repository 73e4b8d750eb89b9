"""Token usage as Gemini reports it, and as it would have: proto JSON, so that a count of zero is not written.

Gemini counts thoughts apart from candidates, and what tools put into the prompt apart from the prompt; cached tokens
are within the prompt.
"""

from collections.abc import Mapping

from broker.domain.usage import NO_USAGE, Usage, UsageSource
from broker.protocols.codec import Json
from broker.protocols.token_counts import part_of, tokens


def read_usage(value: Json, *, details_default_zero: bool) -> Usage:  # noqa: ARG001  # absent counts are always zero
    """Read the usage of an answer; what makes no sense is missing, and never raises."""
    reported = usage_of(value)
    if reported is None:
        return _embedded(value)
    prompt = _count(reported, "promptTokenCount", absent=None)
    tools = _count(reported, "toolUsePromptTokenCount")
    answers = _count(reported, "candidatesTokenCount")
    thoughts = _count(reported, "thoughtsTokenCount")
    if prompt is None or tools is None or answers is None or thoughts is None:
        return NO_USAGE
    cached = _count(reported, "cachedContentTokenCount")
    return Usage(
        input_tokens=prompt + tools,
        cache_read_tokens=part_of({"cached": cached}, "cached", prompt, None),
        cache_write_tokens=0,
        output_tokens=answers + thoughts,
        reasoning_tokens=thoughts,
        source=UsageSource.REPORTED,
    )


def usage_of(value: Json) -> Mapping[str, object] | None:
    """The usage object of an answer."""
    reported = value.get("usageMetadata")
    return reported if isinstance(reported, dict) else None


def total_differs(reported: Mapping[str, object], usage: Usage) -> bool:
    """Whether the provider's own total is another than the sum of its parts."""
    total = _count(reported, "totalTokenCount", absent=None)
    return total is not None and usage.total_tokens is not None and total != usage.total_tokens


def _count(reported: Mapping[str, object], name: str, absent: int | None = 0) -> int | None:
    """One count; int64 may come as text."""
    value = reported.get(name)
    if value is None:
        return absent
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return tokens(int(value))
    return tokens(value)


def _embedded(value: Json) -> Usage:
    """The usage of vectors where each tells its own, as Vertex does."""
    embeddings = value.get("embeddings")
    if not isinstance(embeddings, list) or not embeddings:
        return NO_USAGE
    given = 0
    for embedding in embeddings:
        match embedding:
            case {"statistics": {"tokenCount": int() | float() as count}} if not isinstance(count, bool):
                counted = tokens(int(count)) if 0 <= count < 2**53 and int(count) == count else None
            case _:
                counted = None
        if counted is None:
            return NO_USAGE
        given += counted
    return Usage(
        input_tokens=given,
        cache_read_tokens=0,
        cache_write_tokens=0,
        output_tokens=0,
        reasoning_tokens=0,
        source=UsageSource.REPORTED,
    )


def write_usage(usage: Usage) -> dict[str, object] | None:
    """The usage as Gemini would report it, which leaves out what is zero; `None` where it is not known.

    The prompt is told in any case: without it a usage would read as unknown.
    """
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    thoughts = usage.reasoning_tokens or 0
    counts = {
        "promptTokenCount": usage.input_tokens,
        "cachedContentTokenCount": usage.cache_read_tokens or 0,
        "candidatesTokenCount": usage.output_tokens - thoughts,
        "thoughtsTokenCount": thoughts,
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }
    return {name: count for name, count in counts.items() if count or name == "promptTokenCount"}
