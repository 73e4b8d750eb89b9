"""Exchanges and queues that other programs may know.

[prefix]penstock.submit                     fanout exchange: where producers publish
[prefix]penstock.submit                     the queue bound to it
[prefix]penstock.results.<project>.<name>   results of a subscription
[prefix]penstock.quarantine                 messages that were not accepted, with the reason in a header
"""

from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import quote

from broker.transport.rabbitmq.topology import Topology

_LONGEST_PART = 80
"""Bytes of a project in a queue's name, which has room for 255."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Those of one installation; several may share a virtual host under different prefixes."""

    topology: Topology

    @classmethod
    def under(cls, prefix: str) -> "Addresses":
        """Name everything under this prefix; raises `ValueError` for one that cannot be used."""
        return cls(topology=Topology(prefix=prefix))

    @property
    def prefix(self) -> str:
        """What every name begins with."""
        return self.topology.prefix

    @property
    def submit(self) -> str:
        """Where submissions are published (the exchange) and consumed (the queue)."""
        return f"{self.prefix}penstock.submit"

    @property
    def quarantine(self) -> str:
        """Where messages go that were not accepted."""
        return self.topology.quarantine

    def results(self, project: str, name: str) -> str:
        """Name the queue of a subscription; no two share one. A project's dots are encoded, a name has none."""
        return f"{self.prefix}penstock.results.{_part(project)}.{_part(name)}"

    def is_internal(self, queue: str) -> bool:
        """Whether a queue is one of ours, to which a producer may have nothing sent."""
        return queue.startswith((f"{self.prefix}penstock.", f"{self.prefix}ready."))


def _part(text: str) -> str:
    plain = quote(text, safe="", errors="surrogatepass").replace(".", "%2E").replace("~", "%7E")
    if len(plain) <= _LONGEST_PART:
        return plain
    digest = "~" + sha256(text.encode(errors="surrogatepass")).hexdigest()
    return plain[: _LONGEST_PART - len(digest)] + digest
