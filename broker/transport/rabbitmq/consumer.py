"""The receiving side of one worker: consumes again whenever its channel or connection is lost."""

import logging
from collections import deque
from collections.abc import Callable, Collection

from broker.domain.clock import Clock
from broker.transport.port import TransportUnavailable
from broker.transport.rabbitmq.connection import Backoff, Link
from broker.transport.rabbitmq.declaring import QueueMismatch
from broker.transport.rabbitmq.inbox import RabbitDelivery
from broker.transport.rabbitmq.subscription import Appetite, Subscription
from broker.transport.rabbitmq.timings import Timings
from broker.transport.rabbitmq.topology import Topology
from broker.transport.rabbitmq.unpacking import Unpacker

log = logging.getLogger("penstock.transport")


class RabbitConsumer:
    """Holds turns for a worker, about as many as it wants.

    The caller says how many with `resize`, and takes them. What nobody has taken when the channel is lost is
    dropped here, since RabbitMQ delivers it again; what was taken is the caller's, and its ack does nothing then.
    """

    def __init__(
        self,
        routes: Collection[str],
        arrived: Callable[[], None],
        *,
        link: Link,
        topology: Topology,
        unpacker: Unpacker,
        on_lost: Callable[[], None],
        clock: Clock,
        random: Callable[[], float],
        timings: Timings,
        jobs: int,
    ) -> None:
        self._arrived = arrived
        self._link = link
        self._unpacker = unpacker
        self._on_lost = on_lost
        self._clock = clock
        self._timings = timings
        self._backoff = Backoff(timings, random)
        self._appetite = Appetite(jobs)
        self._routes = topology.routes_by_queue(routes)
        self._turns_to_look = (
            deque(topology.ready(route, interactive=True) for route in sorted(routes)),
            deque(topology.ready(route) for route in sorted(routes)),
        )
        """Interactive queues before the others; within each kind one after the other."""
        self._subscription: Subscription | None = None
        self._stopping = False
        self.problem: str | None = None
        """Why it does not consume."""

    @property
    def queues(self) -> Collection[str]:
        """What it consumes."""
        return self._routes.keys()

    def take(self, most_jobs: int) -> list[RabbitDelivery]:
        taken: list[RabbitDelivery] = []
        if self._subscription is None or self._appetite.jobs <= 0:
            return taken
        inbox = self._subscription.inbox
        for queues in self._turns_to_look:
            empty = 0
            while most_jobs > 0 and empty < len(queues):
                delivery = inbox.pop(queues[0])
                queues.rotate(-1)
                if delivery is None:
                    empty += 1
                    continue
                empty = 0
                most_jobs -= len(delivery.turn.jobs)
                taken.append(delivery)
        return taken

    def resize(self, jobs: int) -> None:
        """Hold about so many jobs of each queue: free slots, plus a second of the account's own rate.

        0 pauses: no turn comes or is given out, and those that nobody took go back to the queue.
        """
        if jobs != self._appetite.jobs:
            self._appetite.jobs = jobs
            self._wake()

    def stop(self) -> bool:
        """Cancel the consumers; `run` ends when the turns in hand are acked, or after a while.

        Returns whether that is worth waiting for: without a connection there is nothing to be acked.
        """
        self._stopping = True
        self._appetite.jobs = 0
        self._wake()
        return self._subscription is not None

    def held(self, route: str) -> int:
        """Jobs of this route that came and were not acked."""
        return 0 if self._subscription is None else self._subscription.inbox.jobs(route)

    async def run(self) -> None:
        """Consume until stopped."""
        while not self._stopping:
            try:
                await self._subscribed()
            except (TransportUnavailable, QueueMismatch) as error:
                self.problem = str(error)
                log.warning("consuming waits: %s", error)
                await self._clock.sleep(self._backoff.next())

    async def _subscribed(self) -> None:
        line = await self._link.line()
        began = self._clock.monotonic()
        self._subscription = Subscription(
            line,
            self._routes,
            appetite=self._appetite,
            unpacker=self._unpacker,
            arrived=self._arrived,
            on_lost=self._on_lost,
            clock=self._clock,
            timings=self._timings,
        )
        self._subscription.stopping = self._stopping
        self.problem = None
        try:
            await self._subscription.run()
        finally:
            self._subscription = None
            if self._clock.monotonic() - began > self._timings.longest_retry:
                self._backoff.reset()

    def _wake(self) -> None:
        if self._subscription is not None:
            self._subscription.stopping = self._stopping
            self._subscription.wake()
