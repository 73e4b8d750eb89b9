"""One job on its way through a worker."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from broker.domain.attempt import CallError, ErrorClass
from broker.domain.job import Job
from broker.domain.loss import Loss
from broker.limits.facts import RequestFacts
from broker.limits.port import Charge
from broker.transport.port import Delivery
from workers.classify import Verdict
from workers.endings import Ending
from workers.interpreter import Said


class Step(StrEnum):
    """Where a job has got to; emitted to whoever watches, in this order."""

    TRANSLATED = "translated"
    """Taken from its turn, and put into the provider's words."""
    RESERVED = "reserved"
    CLAIMED = "claimed"
    """The attempt row is committed."""
    ACKED = "acked"
    CALLED = "called"
    """About to be sent."""
    ANSWERED = "answered"
    SETTLED = "settled"
    RECORDED = "recorded"
    """Handed to the recorder."""
    COMMITTED = "committed"


class Hand:
    """A turn in the worker's hand: acked when the database owns each of its jobs."""

    __slots__ = ("_delivery", "_left")

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._left = len(delivery.turn.jobs)

    async def let_go(self) -> None:
        """One more of its jobs is owned by the database."""
        self._left -= 1
        if not self._left:
            await self._delivery.ack()


@dataclass(slots=True, kw_only=True)
class Work:
    """A job, translated for this worker's account. Filled in step by step."""

    job: Job
    hand: Hand
    attempt_id: str
    model: str
    """The name at the provider."""
    said: Said | None
    """In the provider's words; `None` when it cannot be said, and `refused` tells why."""
    refused: CallError | None = None
    losses: tuple[Loss, ...] = ()
    """What could not be said as its producer did, of the whole request."""
    facts: RequestFacts
    charge: Charge
    start_at: float = 0.0
    """Monotonic seconds."""
    number: int = 0
    history: Mapping[ErrorClass, int] = field(default_factory=dict)
    refused_by: frozenset[str] = frozenset()
    """Accounts that have refused the job for good."""
    parts: tuple[bytes, ...] = ()
    """Answers that the job has already, of several that it takes, each in its producer's dialect."""
    sent_at: float | None = None
    """Seconds since the epoch."""
    ending: Ending | None = None
    """What the call came back with."""
    verdict: Verdict | None = None
    """What that means."""

    @property
    def passes_through(self) -> bool:
        """Whether the provider speaks the producer's own dialect."""
        return not self.parts and (self.said is None or self.said.translation is None)
