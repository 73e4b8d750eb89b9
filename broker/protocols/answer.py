"""What a provider's answer says, once it has been understood."""

from dataclasses import dataclass

from broker.domain.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete, well-formed answer."""

    model: str | None
    """The model that the provider says it served."""
    usage: Usage
