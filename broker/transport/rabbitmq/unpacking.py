"""From a message to a turn: large jobs are looked up, and what is no turn is put aside."""

import logging
from collections.abc import Awaitable, Callable, Sequence

from broker.domain.clock import Clock
from broker.domain.job import Job, JobKey
from broker.errors import BrokerError
from broker.transport.envelope import Envelope, MalformedEnvelope, decode
from broker.transport.port import Turn

log = logging.getLogger("penstock.transport")

FindJobs = Callable[[Sequence[JobKey]], Awaitable[Sequence[Job]]]
"""Looks jobs up in the manifest; those that are not there any more are left out."""
PutAside = Callable[[str, bytes, str], Awaitable[None]]
"""Keeps a message of a queue elsewhere, for a reason; returns when it is safe there."""
_AGAIN_S = 1.0


class Unpacker:
    """Unpacks messages. What it cannot do just now it tries again, while the message stays with its channel."""

    def __init__(self, find_jobs: FindJobs, put_aside: PutAside, clock: Clock) -> None:
        self._find_jobs = find_jobs
        self._put_aside = put_aside
        self._clock = clock

    async def turn(self, queue: str, route: str, payload: bytes) -> Turn | None:
        """Return the turn of a message that came for this route; `None`: nothing is to be run, ack it."""
        try:
            envelope = decode(payload)
            if envelope.route != route:
                raise MalformedEnvelope("it is for another route than its queue")
            return envelope.turn({}) if not envelope.references else await self._looked_up(envelope)
        except BrokerError as error:
            log.warning("a message of %s is put aside: %s", queue, error)
            await self._kept(queue, payload, str(error))
            return None

    async def _looked_up(self, envelope: Envelope) -> Turn | None:
        while True:
            try:
                jobs = await self._find_jobs(envelope.references)
            except BrokerError as error:
                if not error.retryable:
                    raise
                log.warning("large jobs cannot be looked up yet: %s", error)
                await self._clock.sleep(_AGAIN_S)
            else:
                return envelope.turn({job.key: job for job in jobs})

    async def _kept(self, queue: str, payload: bytes, reason: str) -> None:
        while True:
            try:
                return await self._put_aside(queue, payload, reason)
            except BrokerError as error:
                log.warning("it cannot be put aside yet: %s", error)
                await self._clock.sleep(_AGAIN_S)
