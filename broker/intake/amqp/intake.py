"""Consumes `penstock.submit`: every message is accepted, answered why not, or put aside; then it is acked.

    who        user_id → project; no copies to other queues       else aside
    what       content type, size, message_id, shape, jobs        else aside, and answered where an answer is wanted
    accept     one transaction: submission, batch, segments       waits while the database is away
    answer     to `reply_to`, if any                              one attempt, the same message again gets it again
    ack

Nothing is nacked, and no exception leaves the handler: FastStream would leave such a message unacked for good.
"""

import asyncio
import logging
import traceback
from collections.abc import Callable, Mapping

from faststream import AckPolicy
from faststream.rabbit import RabbitMessage, RabbitRouter

from broker.domain.clock import Clock
from broker.errors import BrokerError, CallerError, StoreRefused
from broker.intake.amqp.accepting import Acceptance, refusal
from broker.intake.amqp.channels import exchange, queue
from broker.intake.amqp.checking import producer, submission_id
from broker.intake.amqp.putting_aside import Quarantine
from broker.intake.amqp.reading import MessageRefused
from broker.store.engine import Database
from broker.transport.port import TransportUnavailable
from broker.transport.public.addresses import Addresses
from broker.transport.public.arrived import Arrived
from broker.transport.public.keeper import Keeper
from broker.transport.public.session import Session
from broker.transport.rabbitmq.connection import Backoff
from broker.transport.rabbitmq.timings import Timings

log = logging.getLogger("penstock.intake")

PREFETCH = 32
"""Messages that are worked on at the same time."""


class AmqpIntake:
    """Takes submissions from RabbitMQ for as long as `run` runs; several processes may do so."""

    def __init__(
        self,
        url: str,
        database: Database,
        *,
        projects: Mapping[str, str],
        routes: frozenset[str],
        clock: Clock,
        random: Callable[[], float],
        prefix: str = "",
        timings: Timings | None = None,
        prefetch: int = PREFETCH,
        on_accepted: Callable[[], None] = lambda: None,
    ) -> None:
        """`projects`: project by RabbitMQ user. `routes`: those that some account serves.

        `on_accepted` is called after each accepted message, so that others look at once.
        """
        self._url = url
        self._projects = dict(projects)
        self._clock = clock
        self._random = random
        self._timings = timings or Timings()
        self._prefetch = prefetch
        self._addresses = Addresses.under(prefix)
        self._acceptance = Acceptance(database, self._addresses, routes, on_accepted)
        self._publishing = Keeper(
            "AMQP replies",
            lambda: Session(url, "penstock intake, replies", timings=self._timings),
            clock=clock,
            random=random,
            timings=self._timings,
        )
        self._consuming = Keeper(
            "AMQP intake",
            self._consumer,
            clock=clock,
            random=random,
            timings=self._timings,
            prepare=self._consume,
            watch=self._watch,
        )
        self._quarantine = Quarantine(database, self._publishing, self._addresses.quarantine, clock=clock)
        self._store_problem: str | None = None
        self._in_hand = 0
        self._heard = clock.monotonic()

    @property
    def problem(self) -> str | None:
        """Why nothing is taken at this moment, for readiness; `None`: it is."""
        return self._consuming.problem or self._publishing.problem or self._store_problem

    async def run(self) -> None:
        """Take submissions until cancelled; then those in hand are committed and acked before the connection goes."""
        async with asyncio.TaskGroup() as tasks:
            replying = tasks.create_task(self._publishing.run())
            try:
                await self._consuming.run()
            finally:
                replying.cancel()  # only now: what was in hand may have had to be answered

    def _consumer(self) -> Session:
        router = RabbitRouter()
        subscribed = router.subscriber(
            queue(self._addresses), exchange(self._addresses), ack_policy=AckPolicy.MANUAL, no_reply=True,
            decoder=_undecoded,
        )  # fmt: skip
        subscribed(self._receive)
        return Session(self._url, "penstock intake", timings=self._timings, routers=[router], prefetch=self._prefetch)

    async def _consume(self, session: Session) -> None:
        await session.declare(self._addresses.submit)  # names the argument where somebody made it differently
        await session.consume()

    async def _watch(self, session: Session) -> None:
        """A consumer can fall silent without an error: with room and without a message for long, ask."""
        suspected = False
        while not session.lost.is_set():
            await self._clock.sleep(self._timings.look)
            if self._in_hand or self._clock.monotonic() - self._heard < self._timings.silence:
                suspected = False
                continue
            self._heard = self._clock.monotonic()
            try:
                waiting = await session.declare(self._addresses.submit)
            except BrokerError as error:
                session.end(str(error))
                return
            if waiting and suspected:
                session.abort("messages wait, and none is delivered")
            suspected = waiting > 0

    async def _receive(self, message: RabbitMessage) -> None:
        arrived = Arrived.of(message)
        self._in_hand += 1
        self._heard = self._clock.monotonic()
        try:
            await self._handle(arrived)
        except Exception as error:  # noqa: BLE001 - a defect of ours must not hold the message for good
            where = traceback.extract_tb(error.__traceback__)[-1]
            # Not its text, which may quote the body
            log.error("a submission could not be worked on: %s at %s:%d", type(error).__name__, *where[:2])  # noqa: TRY400
            await self._quarantine.take(arrived, "defect", "an error of ours; the log has it")
        finally:
            self._in_hand -= 1
            self._heard = self._clock.monotonic()
        await arrived.ack()

    async def _handle(self, message: Arrived) -> None:
        try:
            project = producer(message, self._projects)
        except MessageRefused as error:  # and no answer: nobody knows who wants it
            await self._quarantine.take(message, error.code, str(error))
            return
        try:
            reply = await self._accepted(project, message)
        except CallerError as error:
            is_submission = not isinstance(error, MessageRefused) or bool(error.problems)
            told = await self._answer(message, refusal(error))
            # A refusal that its producer was told needs no second place, unless it is no submission at all
            if not (is_submission and told):
                await self._quarantine.take(message, error.code, str(error))
        except StoreRefused as error:
            log.warning("the database refuses a submission, which is a defect")
            await self._quarantine.take(message, error.code, "the database will never take these values")
        else:
            await self._answer(message, reply)

    async def _accepted(self, project: str, message: Arrived) -> str:
        """Accept a message; while the database is away, keep it and try again, ever more slowly."""
        message_id = submission_id(message)
        backoff = Backoff(self._timings, self._random)
        while True:
            try:
                reply = await self._acceptance.accept(project, message_id, message.body)
            except BrokerError as error:
                if not error.retryable:
                    raise
                self._store_problem = f"AMQP intake: submissions wait for the database: {error}"
                log.warning("%s", self._store_problem)
                await self._clock.sleep(backoff.next())
            else:
                self._store_problem = None
                return reply

    async def _answer(self, message: Arrived, reply: str) -> bool:
        """Tell a producer, if it wants to know; returns whether it was told.

        One attempt: whoever hears nothing sends the same message again, and is told then.
        """
        if not message.reply_to:
            return False
        if self._addresses.is_internal(message.reply_to):
            log.warning("no reply is sent to %r, which is a queue of ours", message.reply_to)
            return False
        try:
            async with asyncio.timeout(self._timings.publish):
                session = await self._publishing.session()
                await session.publish(
                    reply.encode(),
                    message.reply_to,
                    headers={},
                    correlation_id=message.correlation_id or message.message_id,
                    content_type="application/json",
                    message_type="penstock.reply",
                )
        except (TransportUnavailable, TimeoutError) as error:
            log.warning("a reply could not be sent to %r: %s", message.reply_to, error)
            return False
        return True


async def _undecoded(message: RabbitMessage) -> RabbitMessage:
    """In place of FastStream's decoder: the message as it is."""
    return message
