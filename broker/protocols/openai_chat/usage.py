"""Token usage of chat completions."""

from broker.domain.usage import Usage
from broker.protocols.codec import Json
from broker.protocols.openai_usage import CHAT, inclusive_usage


def read_usage(value: Json, *, details_default_zero: bool) -> Usage:
    """Read the usage of a completion; what makes no sense is missing, and never raises."""
    return inclusive_usage(value.get("usage"), CHAT, details_default_zero=details_default_zero)
