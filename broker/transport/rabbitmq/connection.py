"""One connection to RabbitMQ, and the supervisor that makes it again whenever it is lost.

Plain connections of aio-pika, not its robust ones: those bring deleted queues back in silence, and what is published
while they are away waits for their return. Here a loss is an error for whoever works with the connection, and
nothing is restored that its owner does not ask for.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import aio_pika
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from yarl import URL

from broker.domain.clock import Clock
from broker.errors import ConfigError
from broker.transport.port import TransportUnavailable
from broker.transport.rabbitmq.timings import Timings

log = logging.getLogger("penstock.transport")

BLOCKED_LOOK_S = 0.5
_LIVED_S = 5.0
"""A connection that lived this long was a good one: the next loss is retried at once again."""


@contextmanager
def lost_is_unavailable(doing: str) -> Iterator[None]:
    """Turn every way in which the library says that channel or connection are gone into `TransportUnavailable`."""
    try:
        yield
    except asyncio.CancelledError as error:
        # The library also cancels what waits on a channel that dies; that is not a wish of ours to stop
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise TransportUnavailable(f"{doing}: the connection was closed") from error
    except TimeoutError as error:
        raise TransportUnavailable(f"{doing}: no answer in time") from error
    except (AMQPError, ChannelInvalidStateError, OSError, RuntimeError) as error:
        raise TransportUnavailable(f"{doing}: {error!r}") from error


class Backoff:
    """Growing, jittered pauses."""

    def __init__(self, timings: Timings, random: Callable[[], float]) -> None:
        self._timings = timings
        self._random = random
        self._next_s = timings.retry

    def next(self) -> float:
        pause, self._next_s = self._next_s, min(2 * self._next_s, self._timings.longest_retry)
        return pause * (0.5 + self._random())

    def reset(self) -> None:
        self._next_s = self._timings.retry


class _Sockets(TransportFactory):
    """Opens the socket as the library would, and keeps it: a connection that hangs can only be ended there."""

    def __init__(self) -> None:
        self.writer: asyncio.StreamWriter | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, self.writer = await factory.create(url, **kwargs)
        return reader, self.writer


class Line:
    """One connection, from its making to its loss."""

    def __init__(self, url: URL, name: str) -> None:
        self._sockets = _Sockets()
        self._connection = aio_pika.Connection(url, client_properties={"connection_name": name})
        self._connection.kwargs["transport_factory"] = self._sockets
        self._connection.close_callbacks.add(lambda _, error: self._gone(error))
        self.lost = asyncio.Event()
        self.why = ""
        self._told: set[Callable[[], None]] = set()

    async def open(self) -> None:
        """Connect; whatever goes wrong, no socket is left."""
        try:
            await self._connection.connect()
        except BaseException:
            self.abort()
            raise

    async def channel(self, *, confirms: bool) -> aio_pika.abc.AbstractChannel:
        """Open a channel; one with confirms raises for what cannot be routed."""
        return await self._connection.channel(publisher_confirms=confirms, on_return_raises=confirms)

    def tell(self, lost: Callable[[], None]) -> None:
        """Call back at the loss."""
        self._told.add(lost)

    def forget(self, lost: Callable[[], None]) -> None:
        """Do not call back."""
        self._told.discard(lost)

    async def blocked(self) -> bool:
        """Whether the server has said that it takes no messages for now (a memory or disk alarm)."""
        transport = self._connection.transport
        if transport is None:
            return False
        try:
            async with asyncio.timeout(0):  # ready at once, or not now
                await transport.ready()
        except TimeoutError:
            return True
        return False

    def abort(self, why: str = "cut") -> None:
        """Cut the connection: no farewell, no waiting for what it still holds."""
        if self._sockets.writer is not None:
            self._sockets.writer.transport.abort()
        self._gone(why)

    async def close(self, within_s: float) -> None:
        """Say farewell, or cut."""
        try:
            with suppress(TransportUnavailable), lost_is_unavailable("closing"):
                async with asyncio.timeout(within_s):
                    await self._connection.close()
        finally:
            self.abort("closed")

    def _gone(self, why: object) -> None:
        if not self.lost.is_set():
            self.why = str(why) or repr(why)
            self.lost.set()
            for told in tuple(self._told):
                told()


class Link:
    """Has a connection from the first time that somebody asks for it, and makes it again when it is lost."""

    def __init__(
        self,
        url: str,
        name: str,
        *,
        clock: Clock,
        random: Callable[[], float],
        timings: Timings,
        on_back: Callable[[], None] = lambda: None,
    ) -> None:
        self._url = server_url(url)
        self._name = name
        self._clock = clock
        self._backoff = Backoff(timings, random)
        self._timings = timings
        self._on_back = on_back
        """Called when a lost connection has been replaced."""
        self._wanted = asyncio.Event()
        self._up = asyncio.Event()
        self._line: Line | None = None
        self.problem: str | None = None
        """Why there is no connection, as far as one is wanted."""
        self.blocked = False
        """The server takes no messages for now."""

    @property
    def server(self) -> str:
        """The address, without the password."""
        return f"{self._url.host}:{self._url.port or ''}{self._url.path}"

    async def line(self) -> Line:
        """Wait for the connection; the deadline is the caller's."""
        self._wanted.set()
        while True:
            await self._up.wait()
            if self._line is not None:
                return self._line

    async def run(self) -> None:
        """Connect whenever there is no connection, until cancelled."""
        await self._wanted.wait()
        back = False
        while True:
            try:
                line = await self._connect()
            except TransportUnavailable as error:
                self.problem = str(error)
                log.warning("%s: %s", self._name, error)
                await self._clock.sleep(self._backoff.next())
                continue
            began = self._clock.monotonic()
            self._line, self.problem = line, None
            self._up.set()
            if back:
                log.warning("%s: connected again", self._name)
                self._on_back()
            back = True
            await self._hold(line)
            if self._clock.monotonic() - began >= _LIVED_S:
                self._backoff.reset()
            await self._clock.sleep(self._backoff.next())

    async def _connect(self) -> Line:
        line = Line(self._url, self._name)
        with lost_is_unavailable(f"no connection to RabbitMQ at {self.server}"):
            async with asyncio.timeout(self._timings.connect):
                await line.open()
        return line

    async def _hold(self, line: Line) -> None:
        try:
            while not line.lost.is_set():
                self.blocked = await line.blocked()
                with suppress(TimeoutError):
                    async with asyncio.timeout(BLOCKED_LOOK_S):
                        await line.lost.wait()
            self.problem = f"lost the connection to RabbitMQ at {self.server}: {line.why}"
            log.warning("%s: %s", self._name, self.problem)
        finally:
            self._up.clear()
            self._line, self.blocked = None, False
            await line.close(self._timings.close)


def server_url(url: str) -> URL:
    """Check the address of a RabbitMQ server; raises `ConfigError`."""
    try:
        parsed = URL(url)
    except ValueError as error:
        raise ConfigError("the URL of RabbitMQ cannot be read") from error
    if parsed.scheme not in {"amqp", "amqps"} or not parsed.host:
        raise ConfigError("the URL of RabbitMQ must look like amqp://user:password@host:5672/vhost")
    return parsed
