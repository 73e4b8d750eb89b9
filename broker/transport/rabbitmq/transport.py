"""The transport over RabbitMQ.

RabbitTransport ─┬─ Link, Publisher                      one connection to publish and to count
                 └─ Link, RabbitConsumer ─ Subscription  another one to consume, a channel per worker

An alarm of the server stops what comes from publishing connections, acks included; so the two are apart.
"""

import asyncio
import random
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Self

from broker.domain.clock import Clock, SystemClock
from broker.errors import ConfigError
from broker.transport.port import Turn
from broker.transport.rabbitmq.connection import Link
from broker.transport.rabbitmq.consumer import RabbitConsumer
from broker.transport.rabbitmq.publisher import MOST_BYTES, Publisher
from broker.transport.rabbitmq.timings import Timings
from broker.transport.rabbitmq.topology import Topology
from broker.transport.rabbitmq.unpacking import FindJobs, Unpacker

FIRST_JOBS = 32
"""What a consumer holds until it is told."""


class RabbitTransport:
    """Queues on RabbitMQ, for feeder and workers alike; a connection is made when it is first needed.

    Used as `async with`. Leaving it stops the consumers, waits a moment for what is in hand to be acked, and closes
    channels before connections, so that no ack is lost on the way.
    """

    def __init__(
        self,
        url: str,
        *,
        find_jobs: FindJobs,
        prefix: str = "",
        on_lost: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
        timings: Timings | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """Take the address, and what it needs of others.

        `find_jobs` looks up jobs that are too large to travel. `on_lost` is called when turns may have been lost,
        because a queue is gone or the publishing connection was: whoever feeds should compare with the ledger.
        """
        self._clock = clock or SystemClock()
        self._timings = timings or Timings()
        self._on_lost = on_lost
        try:
            self.topology = Topology(prefix=prefix)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        self._publishing = self._link(url, "penstock publisher", on_lost)
        self._consuming = self._link(url, "penstock consumer", lambda: None)
        self._publisher = Publisher(
            self._publishing,
            self.topology,
            clock=self._clock,
            timings=self._timings,
            on_lost=on_lost,
            most_bytes=most_bytes,
        )
        self._unpacker = Unpacker(find_jobs, self._publisher.put_aside, self._clock)
        self._consumers: list[RabbitConsumer] = []
        self._working: asyncio.TaskGroup | None = None
        self._consuming_tasks: list[tuple[RabbitConsumer, asyncio.Task[None]]] = []
        self._supervising: list[asyncio.Task[None]] = []

    def _link(self, url: str, name: str, on_back: Callable[[], None]) -> Link:
        return Link(url, name, clock=self._clock, random=random.random, timings=self._timings, on_back=on_back)

    async def __aenter__(self) -> Self:
        self._working = await asyncio.TaskGroup().__aenter__()
        for link in (self._publishing, self._consuming):
            self._supervising.append(self._working.create_task(link.run()))
        for consumer in self._consumers:
            self._consuming_tasks.append((consumer, self._working.create_task(consumer.run())))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        group, self._working = self._working, None
        if group is None:
            return
        consuming = [task for consumer, task in self._consuming_tasks if consumer.stop()]
        try:
            if consuming:
                await asyncio.wait(consuming, timeout=self._timings.drain + self._timings.close)
        finally:
            for task in (*(task for _, task in self._consuming_tasks), *self._supervising):
                task.cancel()
            # An error of the caller's own stays what it is; a cancellation may come from a task that broke down here
            ours = isinstance(error, asyncio.CancelledError)
            await group.__aexit__(*((kind, error, trace) if ours else (None, None, None)))

    async def prepare(self, routes: Collection[str]) -> None:
        """Make the queues of these routes, at start.

        Raises `QueueMismatch`, which names the argument, and `TransportUnavailable`.
        """
        await self._publisher.prepare(routes)

    async def publish(self, turns: Sequence[Turn]) -> None:
        await self._publisher.publish(turns)

    def consume(self, routes: Collection[str], arrived: Callable[[], None]) -> RabbitConsumer:
        consumer = RabbitConsumer(
            routes,
            arrived,
            link=self._consuming,
            topology=self.topology,
            unpacker=self._unpacker,
            on_lost=self._on_lost,
            clock=self._clock,
            random=random.random,
            timings=self._timings,
            jobs=FIRST_JOBS,
        )
        self._consumers.append(consumer)
        if self._working is not None:
            self._consuming_tasks.append((consumer, self._working.create_task(consumer.run())))
        return consumer

    async def waiting(self, route: str) -> int:
        """Jobs in the queues of this route, on their way there, and in the hands of the workers of this process.

        What workers in other processes hold is not known here; that is bounded by what they were told to hold.
        """
        return await self._publisher.waiting(route) + sum(consumer.held(route) for consumer in self._consumers)

    @property
    def blocked(self) -> bool:
        """The server takes no turns for now, because of a memory or disk alarm."""
        return self._publishing.blocked

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with it at this moment, in words for an operator; empty when it works."""
        found = [self._publishing.problem, self._consuming.problem, *(c.problem for c in self._consumers)]
        if self.blocked:
            found.append(f"RabbitMQ at {self._publishing.server} takes no messages: memory or disk alarm")
        return tuple(dict.fromkeys(problem for problem in found if problem))

    @property
    def queues(self) -> frozenset[str]:
        """Every queue that this transport has made or found."""
        return frozenset(self._publisher.known).union(*(consumer.queues for consumer in self._consumers))
