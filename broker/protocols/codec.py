"""What a dialect's codec is: pure functions between its JSON and the canonical form."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from broker.domain.attempt import CallError
from broker.domain.caps import Caps
from broker.domain.dialect import Dialect
from broker.domain.usage import Usage
from broker.protocols.canonical.answer import Answer
from broker.protocols.canonical.request import CanonicalRequest, EmbeddingRequest, Request
from broker.protocols.losses import Losses

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A request in a target's words."""

    body: dict[str, object]
    path: str
    """Below the account's base URL, which is what the vendor's own SDK takes."""
    headers: Mapping[str, str] = field(default_factory=dict)
    fan_out: int = 1
    """How often to send it, for a target that gives one answer to a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """An error that stands in place of an answer, inside a success."""

    error: object


class ReadRequest(Protocol):
    """Reads a body of this dialect; raises `MalformedRequest` and nothing else. Null fields are unset."""

    def __call__(self, body: Json) -> CanonicalRequest: ...


class WriteRequest(Protocol):
    """Writes a canonical request. Whatever cannot be said goes to `losses`; raises nothing.

    What it gets was prepared (`broker.protocols.conversation`): no reasoning, no opaque parts and no empty texts are
    left in the turns, names are legal here, so are ids, of which none comes twice, neighbouring turns of one speaker
    are one, each call is answered in the turn behind it, results stand first there and in the order of the calls, and
    system turns within the conversation are gone unless `caps` takes them.
    """

    def __call__(self, request: Request, *, model: str, caps: Caps, losses: Losses) -> Written: ...


class WriteEmbedding(Protocol):
    """Writes a request for vectors. Whatever cannot be said goes to `losses`; raises nothing."""

    def __call__(self, request: EmbeddingRequest, *, model: str, caps: Caps, losses: Losses) -> Written: ...


class FaultOf(Protocol):
    """Says what keeps a JSON object from being a complete answer, or gives the error that stands in its place.

    `None` says that `read_answer` may read it. `items`: how many choices or vectors were asked for, if known.
    """

    def __call__(self, value: Json, items: int | None) -> str | Embedded | None: ...


class ReadUsage(Protocol):
    """Reads the usage of an answer (the whole object), in inclusive buckets; never raises.

    `details_default_zero`: this provider documents that an absent detail means zero; elsewhere it is unknown.
    """

    def __call__(self, value: Json, *, details_default_zero: bool) -> Usage: ...


class ReadAnswer(Protocol):
    """Reads an answer that has no fault; never raises."""

    def __call__(self, value: Json, usage: Usage) -> Answer: ...


class WriteAnswer(Protocol):
    """Writes the answer that the producer would have got; `request` is the producer's own body, where it is known."""

    def __call__(self, answer: Answer, request: Json | None) -> dict[str, object]: ...


class ErrorOf(Protocol):
    """Reads a response that is no success; never raises. Header names are lower case, `now` is epoch seconds."""

    def __call__(self, status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> CallError: ...


class EmbeddedError(Protocol):
    """Reads an error object that came with a success status; never raises."""

    def __call__(self, status: int, headers: Mapping[str, str], error: object, *, now: float) -> CallError: ...


class WriteError(Protocol):
    """Writes an error as this dialect's own API would: its HTTP status, and its body."""

    def __call__(self, error: CallError) -> tuple[int, dict[str, object]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """One dialect."""

    dialect: Dialect
    caps: Caps
    """What is assumed of a model that nobody knows: the newest conservative set."""
    read_request: ReadRequest
    write_request: WriteRequest | None
    """`None`: this dialect does not ask for text."""
    write_embedding: WriteEmbedding | None
    """`None`: this dialect does not ask for vectors."""
    fault_of: FaultOf
    read_usage: ReadUsage
    read_answer: ReadAnswer
    write_answer: WriteAnswer
    error_of: ErrorOf
    embedded_error: EmbeddedError
    write_error: WriteError
    items_asked_for: Callable[[Json], int | None]
    """How many choices or vectors a request asks for; `None` when it does not say so in a way we know."""
    path: Callable[[str, Json], str]
    """Where a body of this dialect goes, below the account's base URL, by model."""
    headers: Mapping[str, str]
    """Of every request that passes through unchanged, beside those of the account."""
    request_id_headers: tuple[str, ...]
    """Response headers that may carry the provider's own id of the call, the best first, in lower case."""
    tool_names: re.Pattern[str]
    """What a tool's name must match whole; others are mapped, and mapped back."""
    call_ids: re.Pattern[str]
    """What the id of a call must match whole."""
