"""A call as the simulator understands it, whatever protocol it came in, and what goes back."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.errors import BrokerError
from workers.provider_sim.answers import digest_of, text_from, tokens_of
from workers.provider_sim.chance import lognormal
from workers.provider_sim.config import OutputConfig, UsageConfig

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
class ChatCall:
    """A request for a text."""

    model: str
    prompt: str
    """The text of the last user message."""
    input_tokens: int
    max_output_tokens: int | None
    """Per choice."""
    choices: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingCall:
    """A request for vectors."""

    model: str
    inputs: tuple[str, ...]
    input_tokens: int
    dimensions: int
    as_base64: bool

    @property
    def prompt(self) -> str:
        return "\n".join(self.inputs)


Call = ChatCall | EmbeddingCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """How much was generated, and why it stopped there."""

    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    prompt_digest: bytes
    text: str
    """The whole answer, even where the maximum is smaller: it is a proof of the prompt, not a sample."""
    is_cut_by_maximum: bool


def generate(call: Call, output: OutputConfig, usage: UsageConfig, *, normal: float) -> Generated:
    """Return the answer to `call` and its size; `normal` is a standard normal number."""
    digest = digest_of(call.prompt)
    text = text_from(digest)
    produced, is_cut = 0, False
    if isinstance(call, ChatCall):
        if output.mean_tokens is None:
            wanted = tokens_of(text)
        else:
            wanted = max(1, round(lognormal(output.mean_tokens, output.sigma, normal)))
        is_cut = call.max_output_tokens is not None and wanted > call.max_output_tokens
        produced = min(wanted, call.max_output_tokens or wanted) * call.choices
    return Generated(
        input_tokens=call.input_tokens,
        cached_tokens=int(call.input_tokens * usage.cached_share),
        output_tokens=produced,
        reasoning_tokens=int(produced * usage.reasoning_share),
        prompt_digest=digest,
        text=text,
        is_cut_by_maximum=is_cut,
    )
