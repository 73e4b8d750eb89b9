"""One connection of FastStream to RabbitMQ, from its making to its loss.

FastStream would bring a lost connection back by itself: with its queues as it remembers them, without those that
were deleted, and with a first attempt that must succeed. So that is switched off: a session ends with its
connection or its channel, and whoever owns it makes another.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from aio_pika import RobustConnection
from aio_pika.exceptions import DeliveryError, PublishError
from faststream.rabbit import Channel, RabbitBroker, RabbitRouter
from yarl import URL

from broker.errors import ConfigError
from broker.transport.port import TransportUnavailable
from broker.transport.public.readable import ReadableSockets
from broker.transport.rabbitmq.connection import lost_is_unavailable, server_url
from broker.transport.rabbitmq.declaring import QueueMismatch, close_channel, declare
from broker.transport.rabbitmq.timings import Timings

_NEVER_S = 10 * 365 * 86_400.0
"""Until the library would connect again by itself."""
_LIBRARY_LOG = logging.getLogger("penstock.faststream")


class Unroutable(TransportUnavailable):
    """No queue takes the message."""

    code = "unroutable"


class Refused(TransportUnavailable):
    """The queue is full, or has no leader just now."""

    code = "publish_refused"


class PublicQueueMismatch(ConfigError):
    """A queue that other programs use exists, but somebody made it differently."""

    code = "queue_mismatch"

    def __init__(self, queue: str, argument: str | None) -> None:
        what = f"with another {argument}" if argument else "differently"
        super().__init__(
            f"queue {queue!r} exists, made {what}; let its readers empty it and delete it, or choose another prefix"
        )


class Session:
    """Consumes what its routers subscribe to, and publishes.

    Everything raises `TransportUnavailable` once the session is lost; `lost` is set then, and `why` says why.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        timings: Timings,
        routers: Sequence[RabbitRouter] = (),
        prefetch: int | None = None,
    ) -> None:
        parsed = server_url(url)
        self.server = f"{parsed.host}:{parsed.port or ''}{parsed.path}"
        """The address, without the password."""
        self._timings = timings
        self._rabbit = _Rabbit(parsed, name, timings=timings, routers=routers, prefetch=prefetch)
        self._connection: RobustConnection | None = None
        self._declaring = asyncio.Lock()
        self._known: set[str] = set()
        """Queues that were there when this session last looked."""
        self.lost = asyncio.Event()
        self.why = ""

    async def open(self) -> None:
        """Connect; raises `TransportUnavailable`."""
        with lost_is_unavailable(f"no connection to RabbitMQ at {self.server}"):
            async with asyncio.timeout(self._timings.connect):
                self._connection = await self._rabbit.connect()
                self._connection.close_callbacks.add(lambda _, error: self.end(str(error) or repr(error)))
                channel = await self._rabbit.config.channel_manager.get_channel()
                wire = await channel.get_underlay_channel()
                wire.closing.add_done_callback(lambda _: self.end("the server closed the channel"))
                wire.on_consumer_cancel_callbacks.add(lambda _: self.end("the server cancelled the consumer"))

    async def consume(self) -> None:
        """Start the subscribers: queues, exchanges and bindings are made where they are not there."""
        with lost_is_unavailable("consuming"):
            async with asyncio.timeout(self._timings.connect):
                await self._rabbit.start()

    async def declare(self, queue: str) -> int:
        """Make a queue unless it is there; returns the messages that wait in it. Raises `PublicQueueMismatch`."""
        if self._connection is None or self.lost.is_set():
            raise TransportUnavailable(f"declaring {queue}: {self.why or 'not connected'}")
        await self._refuse_while_blocked()
        async with self._declaring:  # one at a time: each takes a channel of its own
            waiting = await self._declared(self._connection, queue)
        self._known.add(queue)
        return waiting

    async def ensure(self, queue: str) -> None:
        """Make a queue unless it was there when this session last looked; publishing finds out that it is gone."""
        if queue not in self._known:
            await self.declare(queue)

    async def _declared(self, connection: RobustConnection, queue: str) -> int:
        with lost_is_unavailable(f"declaring {queue}"):
            async with asyncio.timeout(self._timings.ask):
                # A channel of its own: a queue that was made differently costs the channel on which one asks
                channel = await connection.channel(publisher_confirms=False)
        try:
            return await declare(channel, queue, self._timings.ask)
        except QueueMismatch as error:
            raise PublicQueueMismatch(queue, error.argument) from error
        except TransportUnavailable as error:
            if isinstance(error.__cause__, TimeoutError) and not await self.blocked():
                self.abort("no answer in time")
            raise
        finally:
            await close_channel(channel, self._timings.close)

    async def publish(self, body: bytes, queue: str, *, headers: Mapping[str, Any], **properties: Any) -> None:
        """Publish to a queue; returns when the message is confirmed. `properties` are those of FastStream's publish.

        Raises `Unroutable`, `Refused`, or another `TransportUnavailable` when it is not known what became of it.
        Messages that are published at the same time arrive in the order of the calls.
        """
        if self.lost.is_set():
            raise TransportUnavailable(f"publishing: {self.why}")
        await self._refuse_while_blocked()
        with lost_is_unavailable("publishing"):
            try:
                # Our own deadline: that of the library begins only once the connection takes messages
                async with asyncio.timeout(self._timings.publish):
                    await self._rabbit.publish(
                        body, queue, headers=dict(headers), persist=True, mandatory=True, **properties
                    )
            except PublishError as error:
                self._known.discard(queue)
                raise Unroutable(f"there is no queue {queue!r}") from error
            except DeliveryError as error:
                raise Refused(f"queue {queue!r} takes no more messages for now") from error
            except TimeoutError:
                if not await self.blocked():
                    self.abort("no answer in time")
                raise

    async def blocked(self) -> bool:
        """Whether the server has said that it takes no messages for now (a memory or disk alarm)."""
        transport = None if self._connection is None else self._connection.transport
        if transport is None:
            return False
        try:
            async with asyncio.timeout(0):  # ready at once, or not now
                await transport.ready()
        except TimeoutError:
            return True
        return False

    async def _refuse_while_blocked(self) -> None:
        """What is sent during an alarm is read when it is over, however often it was given up by then."""
        if await self.blocked():
            raise TransportUnavailable(f"RabbitMQ at {self.server} takes no messages: memory or disk alarm")

    def end(self, why: str) -> None:
        """The session is lost, for this reason; the first one counts."""
        if not self.lost.is_set():
            self.why = why
            self.lost.set()

    def abort(self, why: str) -> None:
        """Cut the connection: it may look alive for long, and does not answer."""
        self._rabbit.sockets.abort()
        self.end(why)

    async def close(self) -> None:
        """Finish the messages in hand, stop consuming, say farewell; or cut, where the server does not answer.

        A message that arrives meanwhile is not looked at, and goes back to its queue with the connection.
        """
        drain_s = 0.0 if self.lost.is_set() else self._timings.drain
        try:
            with suppress(TransportUnavailable, ExceptionGroup), lost_is_unavailable("closing"):
                async with asyncio.timeout(drain_s + self._timings.close):
                    await self._rabbit.stop()
        finally:
            self.abort("closed")
            if self._connection is not None:
                # Also where the farewell was cut short: the library keeps a task that would connect again
                with suppress(TransportUnavailable), lost_is_unavailable("closing"):
                    async with asyncio.timeout(self._timings.close):
                        await self._connection.close()


class _Rabbit(RabbitBroker):
    """FastStream's connection object, on a connection that is made once, and survives unreadable properties."""

    def __init__(
        self, url: URL, name: str, *, timings: Timings, routers: Sequence[RabbitRouter], prefetch: int | None
    ) -> None:
        super().__init__(
            str(url.with_user(None)),
            routers=routers,
            default_channel=Channel(prefetch_count=prefetch, on_return_raises=True),
            graceful_timeout=timings.drain,
            apply_types=False,  # nothing is decoded or validated before our own code has the message
            app_id="penstock",
            logger=_LIBRARY_LOG,
            log_level=logging.DEBUG,
        )
        self.sockets = ReadableSockets()
        self._url = url
        self._name = name
        self._connect_s = timings.connect

    async def _connect(self) -> RobustConnection:
        connection = RobustConnection(
            self._url,
            client_properties={"connection_name": self._name},
            reconnect_interval=_NEVER_S,
        )
        connection.kwargs["transport_factory"] = self.sockets
        try:
            await connection.connect(timeout=self._connect_s)
            self.config.connect(connection)
            self._channel = await self.config.channel_manager.get_channel()
        except BaseException:
            await connection.close()
            self.sockets.abort()
            raise
        return connection
