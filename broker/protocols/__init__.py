"""One codec per dialect, around one canonical form; pure functions."""

from broker.domain.attempt import CallError as ProviderError
from broker.protocols.canonical.answer import Answer
from broker.protocols.losses import UntranslatableRequest
from broker.protocols.translation import (
    Translation,
    parse_response,
    render_response,
    translate_raw,
    translate_request,
)

__all__ = [
    "Answer",
    "ProviderError",
    "Translation",
    "UntranslatableRequest",
    "parse_response",
    "render_response",
    "translate_raw",
    "translate_request",
]
