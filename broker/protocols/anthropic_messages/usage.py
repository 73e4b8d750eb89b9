"""Token usage of the messages dialect, which counts what the cache had or took beside the input, and not in it."""

from typing import Any

from broker.domain.usage import NO_USAGE, Usage, UsageSource
from broker.protocols.codec import Json
from broker.protocols.token_counts import part_of, tokens

_SPLIT = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
_TIERS = {"default": "standard", "priority": "priority"}
_OWN_TIERS = {"standard": "default", "priority": "priority"}


def read_usage(value: Json, *, details_default_zero: bool) -> Usage:
    """Read the usage of a message, in inclusive buckets; what makes no sense is missing, and never raises.

    The input is the sum of what was fed in, read from the cache and written to it; an absent part adds nothing.
    """
    reported = value.get("usage")
    if not isinstance(reported, dict):
        return NO_USAGE
    absent = 0 if details_default_zero else None
    fresh = tokens(reported.get("input_tokens"))
    generated = tokens(reported.get("output_tokens"))
    read = _cached(reported, "cache_read_input_tokens", absent)
    written = _written(reported, absent)
    if fresh is None or generated is None or _NONSENSE in (read, written):
        return NO_USAGE
    given = tokens(fresh + (read or 0) + (written or 0))
    if given is None:
        return NO_USAGE
    return Usage(
        input_tokens=given,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=generated,
        reasoning_tokens=part_of(reported.get("output_tokens_details"), "thinking_tokens", generated, absent),
        source=UsageSource.REPORTED,
    )


_NONSENSE = -1


def _cached(reported: dict[str, Any], name: str, absent: int | None) -> int | None:
    value = reported.get(name)
    if value is None:
        return absent
    count = tokens(value)
    return _NONSENSE if count is None else count


def _written(reported: dict[str, Any], absent: int | None) -> int | None:
    """What was written to the cache: as a whole, or else the sum of its parts by time to live."""
    if reported.get("cache_creation_input_tokens") is not None:
        return _cached(reported, "cache_creation_input_tokens", absent)
    split = reported.get("cache_creation")
    if not isinstance(split, dict):
        return absent
    parts = [_cached(split, name, 0) for name in _SPLIT]
    return _NONSENSE if _NONSENSE in parts else sum(part or 0 for part in parts)


def write_usage(usage: Usage, service_tier: str | None) -> dict[str, object]:
    """Write a usage as Anthropic counts; what is unknown is null, but for the two numbers that must be there."""
    read, written = usage.cache_read_tokens, usage.cache_write_tokens
    given = (usage.input_tokens or 0) - (read or 0) - (written or 0)
    reasoning = usage.reasoning_tokens
    return {
        "input_tokens": max(0, given),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "cache_creation": None,
        "output_tokens": usage.output_tokens or 0,
        "output_tokens_details": None if reasoning is None else {"thinking_tokens": reasoning},
        "server_tool_use": None,
        "service_tier": _TIERS.get(service_tier or ""),
    }


def read_tier(reported: object) -> str | None:
    """The service tier that a usage names, in OpenAI's words."""
    tier = reported.get("service_tier") if isinstance(reported, dict) else None
    return _OWN_TIERS.get(tier) if isinstance(tier, str) else None
