"""A call as the simulator understands it, whatever protocol it came in, and what goes back."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.errors import BrokerError
from workers.provider_sim.wishes import Wish

JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole HTTP response."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(BrokerError):
    """A request that is answered with an error before any limit is touched but its key's own."""

    code = "refused"

    def __init__(self, cause: str, reply: Reply) -> None:
        super().__init__(cause)
        self.cause = cause
        self.reply = reply


@dataclass(frozen=True, slots=True, kw_only=True)
class TextCall:
    """A request for a text or for calls of tools."""

    model: str
    prompt: str
    """The text of the last turn of the user."""
    input_tokens: int
    max_output_tokens: int | None
    """Per choice."""
    choices: int = 1
    wish: Wish | None = None
    """`None`: any text will do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingCall:
    """A request for vectors."""

    model: str
    inputs: tuple[str, ...]
    input_tokens: int
    dimensions: int
    as_base64: bool = False

    @property
    def prompt(self) -> str:
        return "\n".join(self.inputs)


Call = TextCall | EmbeddingCall
