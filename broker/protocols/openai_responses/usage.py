"""Token usage of responses, read and written."""

from broker.domain.usage import Usage
from broker.protocols.codec import Json
from broker.protocols.openai_usage import RESPONSES, inclusive_usage


def read_usage(value: Json, *, details_default_zero: bool) -> Usage:
    """Read the usage of a response; what makes no sense is missing, and never raises."""
    return inclusive_usage(value.get("usage"), RESPONSES, details_default_zero=details_default_zero)


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
