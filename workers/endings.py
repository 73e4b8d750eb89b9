"""How an HTTP exchange with a provider can end."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Responded:
    """A complete response came back, whatever it says. Headers are looked up by lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NotConnected:
    """No connection (DNS, TCP, TLS): the provider surely did nothing."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOff:
    """The request was, or may have been, sent, and no complete response came back."""

    reason: str
    status: int | None = None
    """Set when the response had begun."""
    too_large: bool = False
    """We stopped reading: the body passed the size cap."""


Ending = Responded | NotConnected | CutOff
