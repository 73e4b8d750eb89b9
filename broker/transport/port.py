"""The transport: carries turns to run from the feeder to the workers, in a bounded window.

An implementation owns what was published until it is acked. The caller keeps the truth: losing every turn
loses no job, because the feeder publishes again whatever is accepted, unfinished and not running.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from broker.domain.job import Job
from broker.errors import BrokerError


class TransportUnavailable(BrokerError):
    """It did not take the turns, or nobody knows: publish what is still to be run again."""

    code = "transport_unavailable"
    retryable = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Jobs of one route that are handed over together: one message."""

    route: str
    jobs: tuple[Job, ...]
    interactive: bool = False
    """Somebody waits for the answer: such turns are taken before the others of their route."""


class Delivery(Protocol):
    """A turn in a worker's hand. It is acked once each of its jobs is owned by the database; never nacked."""

    @property
    def turn(self) -> Turn: ...

    async def ack(self) -> None:
        """Let go of the turn; harmless when repeated, or when the transport has lost it."""
        ...


class Consumer(Protocol):
    """One worker's end of the transport."""

    def take(self, most_jobs: int) -> Sequence[Delivery]:
        """What has arrived, up to about `most_jobs` jobs (a turn is never split); never waits."""
        ...

    def resize(self, jobs: int) -> None:
        """Have about so many jobs at hand, taken or not; 0: none come, and those not taken go to others."""
        ...


class Transport(Protocol):
    """The queue of one installation."""

    async def publish(self, turns: Sequence[Turn]) -> None:
        """Hand turns over; returns when each is safe with the transport.

        Raises `TransportUnavailable`, also when only some of them got through. Publishing twice is harmless: the
        claim lets a job run once.
        """
        ...

    def consume(self, routes: Collection[str], arrived: Callable[[], None]) -> Consumer:
        """Take part in these routes; `arrived` is called whenever a `take` may give something new."""
        ...

    async def waiting(self, route: str) -> int:
        """Jobs of this route that were published and not acked yet."""
        ...
