"""One channel that consumes the queues of a worker, from its opening to its loss.

Every `look` seconds, and whenever something happens, it compares what it should be with what it is:

    paused                  cancel the consumers; what nobody took goes back with the channel
    holds too much, little  consume again with another prefetch count, which holds for new consumers only
    cancelled by the server find out whether the queue is gone, make it again, consume again
    room, and long silence  ask whether turns wait; if they do and still none comes, give the channel up
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from math import ceil

from aio_pika.abc import AbstractChannel
from aiormq.abc import AbstractChannel as WireChannel
from aiormq.abc import DeliveredMessage

from broker.domain.clock import Clock
from broker.transport.port import TransportUnavailable
from broker.transport.rabbitmq.connection import Line, lost_is_unavailable
from broker.transport.rabbitmq.declaring import close_channel, count, declare, exists
from broker.transport.rabbitmq.inbox import Inbox
from broker.transport.rabbitmq.timings import Timings
from broker.transport.rabbitmq.unpacking import Unpacker

log = logging.getLogger("penstock.transport")

_GUESSED_TURN = 8.0
"""Jobs in a turn, before any came."""
_SMOOTHING = 0.1
_ENOUGH_CHANGED = 1.5
"""A prefetch count that is wrong by less than this factor is left alone."""
_MOST_PREFETCH = 65_535
_LEARNED_AFTER = 16
"""Turns, after which the first guess of their size is looked at again."""


class Appetite:
    """How many jobs a worker wants to hold, and how many turns that makes. Outlives channels."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._mean = _GUESSED_TURN
        self._learned = 0

    def learn(self, jobs: int) -> bool:
        """A turn of so many jobs came; returns, once, that the first guess can be replaced."""
        self._learned += 1
        self._mean += max(_SMOOTHING, 1 / self._learned) * (jobs - self._mean)
        return self._learned == _LEARNED_AFTER

    def turns(self) -> int:
        """Turns to hold per queue; 0: none at all."""
        return 0 if self.jobs <= 0 else min(_MOST_PREFETCH, max(1, ceil(self.jobs / self._mean)))


class Silent(TransportUnavailable):
    """Turns wait, there is room for them, and none comes."""

    code = "consumer_silent"


class Subscription:
    """Consumes until the channel is lost, or the worker has stopped."""

    def __init__(
        self,
        line: Line,
        routes: Mapping[str, str],
        *,
        appetite: Appetite,
        unpacker: Unpacker,
        arrived: Callable[[], None],
        on_lost: Callable[[], None],
        clock: Clock,
        timings: Timings,
    ) -> None:
        self._line = line
        self._routes = routes
        self._appetite = appetite
        self._unpacker = unpacker
        self._arrived = arrived
        self._on_lost = on_lost
        self._clock = clock
        self._timings = timings
        self.inbox = Inbox(list(routes), self._ack)
        self._event = asyncio.Event()
        self._channel: AbstractChannel | None = None
        self._tags: dict[str, str] = {}
        """Queue by consumer tag."""
        self._cancelled: dict[str, float | None] = {}
        """Queues whose consumer the server has cancelled, and when to consume again, once that is known."""
        self._prefetch = 0
        self._adjusted_at = 0.0
        self._heard: dict[str, float] = {}
        self._suspected: set[str] = set()
        self._guessed_wrong = False
        self.stopping = False

    def wake(self) -> None:
        """Something has changed: look again."""
        self._event.set()

    async def run(self) -> None:
        """Consume; raises `TransportUnavailable` when the channel is lost, returns when stopped."""
        self._line.tell(self._end)
        try:
            with lost_is_unavailable("opening a channel"):
                async with asyncio.timeout(self._timings.ask):
                    self._channel = await self._line.channel(confirms=False)
                    wire = await self._channel.get_underlay_channel()
            wire.closing.add_done_callback(lambda _: self._end())
            wire.on_consumer_cancel_callbacks.add(lambda frame: self._was_cancelled(frame.consumer_tag))
            for queue in self._routes:
                await declare(self._channel, queue, self._timings.ask)
            await self._watch(self._channel, wire)
        except TransportUnavailable as error:
            if isinstance(error.__cause__, TimeoutError):
                self._line.abort("no answer in time")
            raise
        finally:
            self._line.forget(self._end)
            if self._channel is not None:
                await close_channel(self._channel, self._timings.close)
            self._end()

    async def _watch(self, channel: AbstractChannel, wire: WireChannel) -> None:
        stop_by: float | None = None
        while True:
            self._event.clear()
            if self.inbox.over:
                raise TransportUnavailable(f"lost the channel: {self._line.why or 'closed by the server'}")
            await self._consume_again(wire)
            await self._adjust(wire)
            if not self._prefetch and (self.stopping or self.inbox.untaken):
                now = self._clock.monotonic()
                stop_by = now + self._timings.drain if stop_by is None else stop_by
                if not self.inbox.in_hand or now >= stop_by:
                    return
            else:
                stop_by = None
            await self._listen_for_silence(channel)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timings.look):
                    await self._event.wait()

    async def _adjust(self, wire: WireChannel) -> None:
        """Hold as many turns as the worker wants."""
        wanted = self._appetite.turns()
        low, high = self._prefetch / _ENOUGH_CHANGED, self._prefetch * _ENOUGH_CHANGED
        if wanted == self._prefetch or (wanted and self._prefetch and low <= wanted <= high):
            return
        now = self._clock.monotonic()
        recently = now - self._adjusted_at < self._timings.look
        if wanted and self._prefetch and recently and not self._guessed_wrong:
            return  # slots come and go many times a second; following each would be all that happens
        self._adjusted_at, self._guessed_wrong = now, False
        for tag in tuple(self._tags):
            with lost_is_unavailable("cancelling a consumer"):
                async with asyncio.timeout(self._timings.ask):
                    await wire.basic_cancel(tag)
            self._tags.pop(tag, None)
        self._prefetch = wanted
        if wanted:
            with lost_is_unavailable("setting the prefetch count"):
                async with asyncio.timeout(self._timings.ask):
                    await wire.basic_qos(prefetch_count=wanted)
            for queue in self._routes:
                if queue not in self._cancelled:
                    await self._consume(wire, queue)

    async def _consume(self, wire: WireChannel, queue: str) -> None:
        with lost_is_unavailable(f"consuming {queue}"):
            async with asyncio.timeout(self._timings.ask):
                started = await wire.basic_consume(queue, partial(self._receive, queue))
        self._tags[str(started.consumer_tag)] = queue
        self._heard[queue] = self._clock.monotonic()

    async def _receive(self, queue: str, message: DeliveredMessage) -> None:
        tag = message.delivery_tag
        if tag is None or self.inbox.over:
            return
        self.inbox.came(queue)
        self._heard[queue] = self._clock.monotonic()
        self._suspected.discard(queue)
        turn = await self._unpacker.turn(queue, self._routes[queue], message.body)
        if turn is None:
            await self.inbox.done(queue, tag)
            return
        if self._appetite.learn(len(turn.jobs)):
            self._guessed_wrong = True
            self._event.set()
        self.inbox.put(queue, tag, turn)
        self._arrived()

    async def _ack(self, tag: int) -> None:
        if self._channel is None or self._channel.is_closed:
            return
        with lost_is_unavailable("an ack"):
            async with asyncio.timeout(self._timings.ask):
                wire = await self._channel.get_underlay_channel()
                await wire.basic_ack(tag, wait=False)
        if not self._prefetch:  # pausing or stopping may have waited for this one
            self._event.set()

    def _was_cancelled(self, tag: str | None) -> None:
        queue = self._tags.pop(tag or "", None)
        if queue is not None:
            self._cancelled[queue] = None
            self._event.set()

    async def _consume_again(self, wire: WireChannel) -> None:
        """Come back to queues from which the server has cut us off: deleted, or moved to another node."""
        for queue, at in tuple(self._cancelled.items()):
            now = self._clock.monotonic()
            if at is None:
                there = await exists(self._line, queue, self._timings.ask)
                log.warning("no longer consuming %s, which %s", queue, "is still there" if there else "was deleted")
                if not there:
                    self._on_lost()
                self._cancelled[queue] = now if there else now + self._timings.made_again
            elif now >= at and self._channel is not None:
                await declare(self._channel, queue, self._timings.ask)
                del self._cancelled[queue]
                if self._prefetch:
                    await self._consume(wire, queue)

    async def _listen_for_silence(self, channel: AbstractChannel) -> None:
        """A consumer can be gone without a word, and a connection can be dead without a sign: ask."""
        for queue in tuple(self._tags.values()):
            now = self._clock.monotonic()
            if self.inbox.unacked[queue] >= self._prefetch or now - self._heard[queue] < self._timings.silence:
                continue
            turns = await count(channel, queue, self._timings.ask)
            if turns is None:
                raise TransportUnavailable(f"{queue} is gone")
            if turns and queue in self._suspected:
                raise Silent(f"{turns} turns wait in {queue}, and none comes")
            if turns:  # one may be on its way this very moment
                self._suspected.add(queue)
            else:
                self._suspected.discard(queue)
                self._heard[queue] = now

    def _end(self) -> None:
        self.inbox.end()
        self._event.set()
