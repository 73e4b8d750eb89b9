"""Which queues there are, and their arguments: the same on every RabbitMQ from 3.10 to 4.x.

    [prefix]ready.<route>                turns of a route
    [prefix]ready.<route>.interactive    those that somebody waits for
    [prefix]penstock.quarantine          messages that are no turns, with the reason in a header

Turns go through the default exchange, so there are no bindings to lose. No dead-letter exchange, no time to live,
no priorities: a turn that is lost is fed again, and everything that is waiting for a time waits in the database.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from urllib.parse import quote

DELIVERY_LIMIT = 1_000
"""Explicit, because RabbitMQ 4.0 drops a message after 20 deliveries by default, and high, because process deaths are
counted per job in the ledger and not per message."""
QUEUE_ARGUMENTS: Mapping[str, str | int] = MappingProxyType(
    {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        # Where an operator's policy bounds a queue, a turn must be refused; the default drops the oldest in silence
        "x-overflow": "reject-publish",
    }
)
_LONGEST_NAME = 255
"""Bytes of a queue's name in the protocol."""
_LONGEST_PREFIX = 64
_PLAIN = "@:/+"
"""Besides letters, digits and `_.-`; everything else is percent-encoded."""
_READY = "ready."
_INTERACTIVE = ".interactive"
_DIGEST = "~"
"""Between the beginning of a route that is too long and its digest; no encoded route has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """The queues of one installation; several may share a virtual host under different prefixes."""

    prefix: str = ""

    def __post_init__(self) -> None:
        if not self.prefix.isascii() or len(self.prefix) > _LONGEST_PREFIX:
            raise ValueError(f"a queue prefix is at most {_LONGEST_PREFIX} ASCII characters, not {self.prefix!r}")

    @property
    def quarantine(self) -> str:
        """Where messages go that are no turns."""
        return f"{self.prefix}penstock.quarantine"

    def ready(self, route: str, *, interactive: bool = False) -> str:
        """Name the queue of a route; no two routes share one."""
        head = self.prefix + _READY
        name = _encoded(route, _LONGEST_NAME - len(head) - len(_INTERACTIVE))
        return head + name + (_INTERACTIVE if interactive else "")

    def queues(self, route: str) -> tuple[str, str]:
        """Both queues of a route, the interactive one first."""
        return self.ready(route, interactive=True), self.ready(route)

    def routes_by_queue(self, routes: Collection[str]) -> Mapping[str, str]:
        """Every queue of these routes, with its route: all interactive ones first."""
        ordered = sorted(routes)
        interactive = {self.ready(route, interactive=True): route for route in ordered}
        return interactive | {self.ready(route): route for route in ordered}


def _encoded(route: str, room: int) -> str:
    plain = quote(route, safe=_PLAIN, errors="surrogatepass").replace(_DIGEST, "%7E")
    if plain.endswith(_INTERACTIVE):  # so that it is not taken for the interactive queue of a shorter route
        plain = plain.removesuffix(_INTERACTIVE) + "%2E" + _INTERACTIVE[1:]
    if len(plain) <= room:
        return plain
    digest = _DIGEST + sha256(route.encode(errors="surrogatepass")).hexdigest()
    return plain[: room - len(digest)] + digest
