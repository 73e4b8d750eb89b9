"""The sending side: its own connection, a confirm for every message, a deadline on every wait.

Whatever happens, a call ends within its deadline, and what was not confirmed by then counts as not published: the
caller publishes it again, and a turn that did arrive runs once all the same.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import DeliveryError, PublishError

from broker.domain.clock import Clock
from broker.errors import BrokerError
from broker.transport.envelope import CONTENT_TYPE, encode
from broker.transport.port import TransportUnavailable, Turn
from broker.transport.rabbitmq.connection import Line, Link, lost_is_unavailable
from broker.transport.rabbitmq.counts import QueueCount
from broker.transport.rabbitmq.declaring import QueueMismatch, count, declare
from broker.transport.rabbitmq.timings import Timings
from broker.transport.rabbitmq.topology import Topology

WINDOW = 200
"""Messages of one call that wait for their confirms at the same time."""
MOST_BYTES = 8 * 1024 * 1024
"""Of one message. RabbitMQ 4 takes 16 MiB, and closes the channel of whoever sends more."""


class TurnTooLarge(BrokerError):
    """A turn that no server is asked to take: its neighbours were published, it was not."""

    code = "turn_too_large"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parcel:
    queue: str
    payload: bytes
    jobs: int
    route: str = ""


class Publisher:
    """Publishes turns, counts those that wait, and puts aside what is none."""

    def __init__(
        self,
        link: Link,
        topology: Topology,
        *,
        clock: Clock,
        timings: Timings,
        on_lost: Callable[[], None],
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._link = link
        self._topology = topology
        self._clock = clock
        self._timings = timings
        self._on_lost = on_lost
        self._most_bytes = most_bytes
        self._counts: dict[str, QueueCount] = {}
        """Of every queue that was there when we last knew."""
        self._unconfirmed: Counter[str] = Counter()
        self._opening = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._channels: dict[bool, tuple[Line, AbstractChannel]] = {}

    @property
    def known(self) -> Collection[str]:
        """The queues that this publisher has made or found."""
        return self._counts.keys()

    async def publish(self, turns: Sequence[Turn]) -> None:
        """Publish, many at a time; returns when every turn is confirmed."""
        parcels = [
            _Parcel(
                queue=self._topology.ready(turn.route, interactive=turn.interactive),
                payload=encode(turn),
                jobs=len(turn.jobs),
                route=turn.route,
            )
            for turn in turns
        ]
        fitting = [parcel for parcel in parcels if len(parcel.payload) <= self._most_bytes]
        waiting = Counter[str]()
        for parcel in fitting:
            waiting[parcel.route] += parcel.jobs
        self._unconfirmed += waiting
        try:
            if fitting:
                await self._deliver(fitting)
        finally:
            self._unconfirmed -= waiting
        if len(fitting) < len(parcels):
            largest = max(len(parcel.payload) for parcel in parcels)
            raise TurnTooLarge(f"a turn of {largest:,} bytes; at most {self._most_bytes:,} are sent")

    async def put_aside(self, queue: str, payload: bytes, reason: str) -> None:
        """Keep a message of this queue that is no turn, where an operator can look at it."""
        headers = {"penstock-queue": queue, "penstock-reason": reason}
        await self._deliver([_Parcel(queue=self._topology.quarantine, payload=payload, jobs=1)], headers)

    async def prepare(self, routes: Collection[str]) -> None:
        """Make the queues of these routes; raises `QueueMismatch` where somebody made them differently."""
        async with self._line("declaring queues") as line:
            for queue in self._topology.routes_by_queue(routes):
                await self._declare(line, queue)

    async def waiting(self, route: str) -> int:
        """Jobs that wait in the queues of this route, or are on their way there."""
        jobs = self._unconfirmed[route]
        for queue in self._topology.queues(route):
            known = self._counts.get(queue)
            if known is None or not known.fresh(self._clock.monotonic()):
                known = await self._look(queue)
            jobs += known.jobs
        return jobs

    async def _look(self, queue: str) -> QueueCount:
        async with self._line(f"looking at {queue}") as line:
            known = self._counts.get(queue)
            if known is None:
                return await self._declare_or_wait(line, queue)
            if known.fresh(self._clock.monotonic()):  # somebody else looked while we waited
                return known
            published = known.published
            async with self._asking:
                turns = await count(await self._channel(line, confirms=False), queue, self._timings.ask)
            if turns is None:
                self._lost(queue)
                return await self._declare_or_wait(line, queue)
            known.looked(turns, published=published, now=self._clock.monotonic())
            return known

    async def _deliver(self, parcels: Sequence[_Parcel], headers: dict[str, Any] | None = None) -> None:
        async with self._line("publishing") as line:
            if await line.blocked():
                # What is sent now is read when the alarm is over, however often it was given up by then
                raise TransportUnavailable(f"RabbitMQ at {self._link.server} takes no messages: memory or disk alarm")
            for queue in {parcel.queue for parcel in parcels} - self._counts.keys():
                await self._declare_or_wait(line, queue)
            channel = await self._channel(line, confirms=True)
            await self._pipelined(channel, parcels, headers)

    async def _pipelined(
        self, channel: AbstractChannel, parcels: Sequence[_Parcel], headers: dict[str, Any] | None
    ) -> None:
        left = iter(parcels)
        failures: list[TransportUnavailable] = []
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(WINDOW, len(parcels))):
                tasks.create_task(self._send_each(channel, left, headers, failures))
        if failures:
            raise TransportUnavailable(f"{len(failures)} of {len(parcels)} messages: {failures[0]}") from failures[0]

    async def _send_each(
        self,
        channel: AbstractChannel,
        left: Iterator[_Parcel],
        headers: dict[str, Any] | None,
        failures: list[TransportUnavailable],
    ) -> None:
        for parcel in left:
            try:
                await self._send(channel, parcel, headers)
            except TransportUnavailable as error:
                failures.append(error)
            else:
                known = self._counts.get(parcel.queue)
                if known is not None:
                    known.add(parcel.jobs)

    async def _send(self, channel: AbstractChannel, parcel: _Parcel, headers: dict[str, Any] | None) -> None:
        message = Message(
            parcel.payload, content_type=CONTENT_TYPE, delivery_mode=DeliveryMode.PERSISTENT, headers=headers
        )
        with lost_is_unavailable("publishing"):
            for pause in self._timings.after_refusals:
                try:
                    await self._publish(channel, parcel, message)
                except DeliveryError:  # the queue has no leader just now, or it is full
                    await self._clock.sleep(pause)
                else:
                    return
            await self._publish(channel, parcel, message)

    async def _publish(self, channel: AbstractChannel, parcel: _Parcel, message: Message) -> None:
        try:
            await channel.default_exchange.publish(message, parcel.queue, mandatory=True)
        except PublishError as error:
            self._lost(parcel.queue)
            raise TransportUnavailable(f"there is no queue {parcel.queue!r} any more") from error

    async def _declare(self, line: Line, queue: str) -> QueueCount:
        async with self._asking:
            turns = await declare(await self._channel(line, confirms=False), queue, self._timings.ask)
        known = self._counts.setdefault(queue, QueueCount(self._timings))
        known.looked(turns, published=known.published, now=self._clock.monotonic())
        return known

    async def _declare_or_wait(self, line: Line, queue: str) -> QueueCount:
        """While we run, a queue that somebody made differently is something that an operator mends meanwhile."""
        try:
            return await self._declare(line, queue)
        except QueueMismatch as error:
            raise TransportUnavailable(str(error)) from error

    def _lost(self, queue: str) -> None:
        """A queue that was there is gone, with its turns; say so once."""
        if self._counts.pop(queue, None) is not None:
            self._on_lost()

    async def _channel(self, line: Line, *, confirms: bool) -> AbstractChannel:
        async with self._opening:
            made_on, channel = self._channels.get(confirms, (None, None))
            if channel is None or made_on is not line or channel.is_closed:
                with lost_is_unavailable("opening a channel"):
                    channel = await line.channel(confirms=confirms)
                self._channels[confirms] = line, channel
            return channel

    @asynccontextmanager
    async def _line(self, doing: str) -> AsyncIterator[Line]:
        """Work on the connection under a deadline; one that does not answer is given up, it may look alive for long."""
        line = None
        try:
            async with asyncio.timeout(self._timings.publish):
                line = await self._link.line()
                yield line
        except TimeoutError as error:
            if line is None:
                why = self._link.problem or f"no connection to RabbitMQ at {self._link.server} yet"
                raise TransportUnavailable(f"{doing}: {why}") from error
            await _give_up(line)
            raise TransportUnavailable(f"{doing}: no answer within {self._timings.publish:g} s") from error
        except TransportUnavailable as error:
            if line is not None and isinstance(error.__cause__, TimeoutError):
                await _give_up(line)
            raise


async def _give_up(line: Line) -> None:
    if not await line.blocked():  # during an alarm silence is what is to be expected, on a new connection too
        line.abort("no answer in time")
