"""What a provider's answer says, once it has been understood."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from broker.domain.usage import Usage
from broker.protocols.canonical.parts import Part


class Finish(StrEnum):
    """Why the model stopped."""

    STOP = "stop"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    """The output limit: beats calls, whose arguments may be cut."""
    CONTEXT_WINDOW = "context_window"
    TOOL_CALLS = "tool_calls"
    REFUSAL = "refusal"
    """The model declined."""
    CONTENT_FILTER = "content_filter"
    """The vendor cut it off."""
    PAUSE = "pause"
    """A turn that the vendor interrupted and wants continued."""
    OTHER = "other"
    """A reason that nobody knows yet; `finish_raw` has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One of the answers that were asked for."""

    index: int
    parts: tuple[Part, ...]
    finish: Finish
    finish_raw: str | None = None
    stop_sequence: str | None = None
    """The one that matched, where the vendor says so."""
    logprobs: object = None
    """As OpenAI's chat dialect has them; `None` where there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete, well-formed answer: texts or vectors."""

    model: str | None
    """The model that the provider says it served."""
    usage: Usage
    id: str | None = None
    created: int | None = None
    """Seconds since the epoch, where the provider says it."""
    outputs: tuple[Output, ...] = ()
    embeddings: tuple[tuple[float, ...], ...] = ()
    """In the order of the inputs."""
    service_tier: str | None = None
    usage_raw: Mapping[str, object] | None = None
    """The provider's own usage object, verbatim."""
    notes: tuple[str, ...] = ()
    """What is odd about it: `usage_missing`, `usage_total_differs`."""
