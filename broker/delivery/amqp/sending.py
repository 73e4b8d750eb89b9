"""Sends results to subscribers: from the stored cursor on, in `seq` order, many in flight, at least once.

For each subscription and batch with something to send, a portion: read, publish, wait for the confirms, move the
cursor to the last message before the first that failed. What follows a failure is sent again with it.

A queue holds a bounded number of messages; the backlog stays in the database.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from broker.delivery.amqp import messages
from broker.delivery.amqp.messages import Outgoing
from broker.domain.clock import Clock
from broker.errors import StoreRefused, StoreUnavailable
from broker.store import results, subscriptions
from broker.store.engine import Database
from broker.store.subscriptions import Backlog
from broker.transport.port import TransportUnavailable
from broker.transport.public.addresses import Addresses
from broker.transport.public.keeper import Keeper
from broker.transport.public.session import PublicQueueMismatch, Refused, Session, Unroutable
from broker.transport.rabbitmq.connection import Backoff
from broker.transport.rabbitmq.timings import Timings

log = logging.getLogger("penstock.delivery")

POLL_S = 1.0
PORTION = 200
"""Messages of one batch that wait for their confirms at the same time."""
MOST_WAITING = 10_000
"""Messages in a subscriber's queue, above which it gets no more for now."""
MOST_BATCHES = 100
"""Of each subscription, that are looked at in one round."""
READ_AT_ONCE = 50
"""Results, whose bodies are in memory together."""
MOST_BYTES_IN_FLIGHT = 16 * 1024 * 1024


class ResultDelivery:
    """Serves all subscriptions for as long as `run` runs.

    One process at a time should do so. Several do no harm, but every message is sent by each of them.
    """

    def __init__(
        self,
        url: str,
        database: Database,
        *,
        clock: Clock,
        random: Callable[[], float],
        prefix: str = "",
        timings: Timings | None = None,
        portion: int = PORTION,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._database = database
        self._clock = clock
        self._addresses = Addresses.under(prefix)
        self._timings = timings or Timings()
        self._portion = portion
        self._most_waiting = most_waiting
        self._wake = asyncio.Event()
        self._publishing = Keeper(
            "AMQP results",
            lambda: Session(url, "penstock results", timings=self._timings),
            clock=clock,
            random=random,
            timings=self._timings,
        )
        self._backoff = Backoff(self._timings, random)
        self._trouble: str | None = None

    @property
    def problem(self) -> str | None:
        """Why nothing is sent at this moment, for readiness; `None`: it is. A subscriber's full queue is no problem."""
        return self._publishing.problem or self._trouble

    def wake(self) -> None:
        """Something was recorded: look at once."""
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled. Messages that are under way then are sent again next time."""
        async with asyncio.TaskGroup() as tasks:
            connecting = tasks.create_task(self._publishing.run())
            try:
                await self._serve()
            finally:
                connecting.cancel()

    async def _serve(self) -> None:
        while True:
            self._wake.clear()
            try:
                sent = await self._round(await self._publishing.session())
            except (StoreUnavailable, TransportUnavailable) as error:
                self._trouble = f"AMQP results: {error}"
                log.warning("results wait: %s", error)
                await self._clock.sleep(self._backoff.next())
                continue
            self._trouble = None
            self._backoff.reset()
            if not sent:
                await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(POLL_S):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _round(self, session: Session) -> int:
        """A portion for each subscription and batch; returns how many messages went out."""
        sent = 0
        full: set[int] = set()
        for backlog in await self._database.read(subscriptions.backlog, MOST_BATCHES):
            if backlog.subscription_id not in full:
                went = await self._serve_batch(session, backlog)
                if went is None:
                    full.add(backlog.subscription_id)
                else:
                    sent += went
        return sent

    async def _serve_batch(self, session: Session, backlog: Backlog) -> int | None:
        """Send the next results of a batch; `None`: the subscriber's queue takes none for now."""
        queue = self._addresses.results(backlog.project, backlog.name)
        try:
            room = self._most_waiting - await session.declare(queue)
        except PublicQueueMismatch as error:
            log.warning("results of %s wait: %s", queue, error)
            return None
        if room <= 0:
            return None
        outgoing = await self._next(backlog, min(room, self._portion))
        confirmed = await self._published(session, queue, outgoing)
        if confirmed:
            try:
                await self._database.write(
                    subscriptions.advance, backlog.subscription_id, backlog.batch_id, outgoing[confirmed - 1].seq
                )
            except StoreRefused:  # it was cancelled just now
                log.info("subscription %s is gone", queue)
        return confirmed if confirmed == len(outgoing) else None

    async def _next(self, backlog: Backlog, most: int) -> list[Outgoing]:
        """The next messages: so many, or fewer where they are large."""
        outgoing: list[Outgoing] = []
        seq, size = backlog.seq, 0
        while len(outgoing) < most and size < MOST_BYTES_IN_FLIGHT:
            wanted = min(READ_AT_ONCE, most - len(outgoing))
            lines = await self._database.read(results.lines_after, backlog.batch_id, seq, wanted)
            for line in lines:
                outgoing.append(messages.result(backlog, line))
                seq, size = line.seq, size + len(outgoing[-1].body)
            if len(lines) < wanted:
                if backlog.ended and seq >= backlog.counts.finished:
                    outgoing.append(messages.ended(backlog))
                break
        return outgoing

    async def _published(self, session: Session, queue: str, outgoing: Sequence[Outgoing]) -> int:
        """Publish in order, all at once; returns how many were confirmed before the first that was not.

        Raises `TransportUnavailable` where not even the first was, and the trouble is not this queue's own.
        """
        failed: dict[int, TransportUnavailable] = {}

        async def send(place: int, message: Outgoing) -> None:
            try:
                await session.publish(
                    message.body,
                    queue,
                    headers=message.headers,
                    message_id=message.message_id,
                    message_type=message.kind,
                    content_type="application/json",
                )
            except TransportUnavailable as error:
                failed[place] = error

        async with asyncio.TaskGroup() as tasks:
            for place, message in enumerate(outgoing):
                tasks.create_task(send(place, message))
        first = min(failed, default=None)
        if first is None:
            return len(outgoing)
        log.warning("%d of %d results to %s wait: %s", len(failed), len(outgoing), queue, failed[first])
        if first == 0 and not isinstance(failed[first], Refused | Unroutable):
            raise failed[first]
        return first
