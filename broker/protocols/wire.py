"""The protocols that an account can speak, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from broker.domain.attempt import CallError
from broker.domain.job import Endpoint
from broker.errors import ConfigError
from broker.protocols import openai, openai_errors
from broker.protocols.canonical.answer import Answer


class Understand(Protocol):
    """Reads the body of a success response; never raises."""

    def __call__(
        self,
        endpoint: Endpoint,
        body: bytes,
        *,
        headers: Mapping[str, str],
        status: int,
        items: int | None,
        details_default_zero: bool,
        now: float,
    ) -> Answer | CallError: ...


class ErrorOf(Protocol):
    """Reads a response that is no success; never raises."""

    def __call__(self, status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> CallError: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WireProtocol:
    """How a provider is spoken to: pure functions and a few names."""

    name: str
    paths: Mapping[Endpoint, str]
    """Path of each endpoint below the account's base URL."""
    request_id_headers: tuple[str, ...]
    """Response headers that may carry the provider's own id of the call, the best first, in lower case."""
    items_asked_for: Callable[[Endpoint, Mapping[str, object]], int | None]
    understand: Understand
    error_of: ErrorOf

    def url(self, base_url: str, endpoint: Endpoint) -> str:
        """Where a call to this endpoint goes."""
        return base_url.rstrip("/") + self.paths[endpoint]


OPENAI = WireProtocol(
    name="openai",
    paths={Endpoint.CHAT_COMPLETIONS: "/chat/completions", Endpoint.EMBEDDINGS: "/embeddings"},
    request_id_headers=("x-request-id", "request-id", "apim-request-id"),
    items_asked_for=openai.items_asked_for,
    understand=openai.understand,
    error_of=openai_errors.error_of,
)
PROTOCOLS: Mapping[str, WireProtocol] = {protocol.name: protocol for protocol in (OPENAI,)}


def protocol_named(name: str) -> WireProtocol:
    """Look a protocol up; raises `ConfigError` naming the known ones."""
    try:
        return PROTOCOLS[name]
    except KeyError:
        known = ", ".join(sorted(PROTOCOLS))
        raise ConfigError(f"protocol {name!r} is not supported by this version; known: {known}") from None
