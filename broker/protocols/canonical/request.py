"""A request, whatever dialect it is written in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from broker.domain.loss import LossClass
from broker.protocols.canonical.parts import MediaPart, Part, TextPart


class Role(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    """The operator; `developer` is the same."""
    USER = "user"
    """Also the tools, whose results stand in user turns."""
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message, its parts in the order they came."""

    role: Role
    parts: tuple[Part, ...]
    path: str


class ToolKind(StrEnum):
    """Who runs a tool."""

    FUNCTION = "function"
    """The producer, with arguments that follow a JSON schema."""
    CUSTOM = "custom"
    """The producer, with free text or a grammar (OpenAI)."""
    HOSTED = "hosted"
    """The vendor: web search, code interpreter, computer use; portable to nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool that the model may ask for."""

    name: str
    kind: ToolKind = ToolKind.FUNCTION
    description: str | None = None
    schema: Mapping[str, object] | None = None
    """JSON Schema of the arguments, verbatim; `None`: not said."""
    strict: bool | None = None
    cache: str | None = None
    path: str = ""


class ChoiceMode(StrEnum):
    """How free the model is to ask for a tool."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolChoice:
    """Which tools may, or must, be asked for."""

    mode: ChoiceMode
    names: tuple[str, ...] = ()
    """Only these; with `REQUIRED` and one name, that tool. Empty: any."""
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is chosen; each `None` where the producer said nothing."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: Mapping[str, object] | None = None
    verbosity: str | None = None


NO_SAMPLING = Sampling()


class FormatKind(StrEnum):
    """What the answer must read as."""

    TEXT = "text"
    JSON_OBJECT = "json_object"
    JSON_SCHEMA = "json_schema"


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """The form that the answer must have."""

    kind: FormatKind
    name: str | None = None
    description: str | None = None
    schema: Mapping[str, object] | None = None
    """JSON Schema, verbatim and in its own key order."""
    strict: bool | None = None
    path: str = ""


class Thinking(StrEnum):
    """Whether the model thinks before it answers."""

    OFF = "off"
    AUTO = "auto"
    """As much as it likes."""
    ON = "on"
    """By `effort` or `budget_tokens`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasoning:
    """How much to think; at most one of `effort` and `budget_tokens` is set."""

    mode: Thinking
    effort: str | None = None
    """minimal, low, medium, high, xhigh, max."""
    budget_tokens: int | None = None
    summary: bool | None = None
    """Whether thoughts are to be shown in the answer; `None`: not said."""
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmapped:
    """Something that the source said and the canonical form has no place for."""

    path: str
    code: str
    detail: str
    loss_class: LossClass
    droppable: bool = False
    """Of content only: `OnLoss.DROP` may leave it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request for generated text. What the producer left out, or set to null, is `None` or empty."""

    turns: tuple[Turn, ...]
    system: tuple[TextPart | MediaPart, ...] = ()
    """What the operator says before the conversation, one part per message or block, in order."""
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    max_output_tokens: int | None = None
    """Reasoning included."""
    stop: tuple[str, ...] = ()
    n: int = 1
    sampling: Sampling = NO_SAMPLING
    format: Format | None = None
    reasoning: Reasoning | None = None
    user_id: str | None = None
    metadata: Mapping[str, object] | None = None
    service_tier: str | None = None
    """`auto`, `default`, `flex` or `priority`, in OpenAI's words."""
    unmapped: tuple[Unmapped, ...] = ()
    pointers: Mapping[str, str] = field(default_factory=dict)
    """Where the producer said what: names of the fields above, and of `Sampling`, to JSON pointers."""

    def pointer(self, name: str) -> str:
        """The JSON pointer of a field that was set."""
        return self.pointers.get(name, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRequest:
    """A request for vectors, one per input."""

    inputs: tuple[str, ...]
    input_paths: tuple[str, ...]
    dimensions: int | None = None
    user_id: str | None = None
    unmapped: tuple[Unmapped, ...] = ()
    pointers: Mapping[str, str] = field(default_factory=dict)

    def pointer(self, name: str) -> str:
        """The JSON pointer of a field that was set."""
        return self.pointers.get(name, "")


CanonicalRequest = Request | EmbeddingRequest
