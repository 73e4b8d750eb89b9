"""Producers and subscribers as other programs are, beside an intake or a delivery under a prefix of its own."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec

import aio_pika
import aiormq
import orjson
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aiormq.abc import ChannelFrame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader
from yarl import URL

from broker.delivery.amqp.sending import ResultDelivery
from broker.domain.clock import SystemClock
from broker.intake.amqp.intake import AmqpIntake
from broker.store.engine import Database
from broker.testing.outages import eventually
from broker.testing.tcp_proxy import TcpProxy
from tests.rabbit_rig import QUICK, delete

P = ParamSpec("P")
PROJECT = "lab"
ROUTES = frozenset({"judge", "judge@home"})


def in_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test that is a coroutine."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def a_prefix() -> str:
    """A prefix that nobody else uses."""
    return f"test-{uuid.uuid4().hex[:12]}."


def a_job(name: str = "a", **changes: Any) -> dict[str, Any]:
    """A job that can be accepted."""
    body = {"model": "judge", "messages": [{"role": "user", "content": name}]}
    return {"custom_id": name, "url": "/v1/chat/completions", "body": body} | changes


def jobs(*names: str, **changes: Any) -> dict[str, Any]:
    """A message of jobs."""
    return {"version": 1, "kind": "jobs", "jobs": [a_job(name) for name in names or ("a",)]} | changes


@dataclass(kw_only=True)
class Producer:
    """Publishes submissions, and hears the replies."""

    connection: AbstractConnection
    channel: AbstractChannel
    exchange: str
    reply_to: str
    user_id: str | None
    replies: asyncio.Queue[AbstractIncomingMessage] = field(default_factory=asyncio.Queue)

    async def publish(self, message: object, **properties: Any) -> str:
        """Publish a value as JSON, or bytes as they are; returns the message id."""
        body = message if isinstance(message, bytes) else orjson.dumps(message)
        given: dict[str, Any] = {
            "message_id": uuid.uuid4().hex,
            "user_id": self.user_id,
            "content_type": "application/json",
            "reply_to": self.reply_to,
            "delivery_mode": 2,
        } | properties
        exchange = await self.channel.get_exchange(self.exchange, ensure=False)
        await exchange.publish(aio_pika.Message(body, **given), routing_key="any")
        return str(given["message_id"])

    async def publish_raw(
        self, body: bytes, properties: Basic.Properties, garbled: Callable[[bytes], bytes] = bytes
    ) -> None:
        """Publish with just these properties, as a client does that knows no better; `garbled` may break them."""

        class Header(ContentHeader):
            def marshal(self) -> bytes:
                return garbled(super().marshal())

        async with self.connection.channel(publisher_confirms=False) as channel:
            wire = await channel.get_underlay_channel()
            frames: list[Any] = [
                Basic.Publish(exchange=self.exchange, routing_key="any"),
                Header(body_size=len(body), properties=properties),
                ContentBody(body),
            ]
            assert isinstance(wire, aiormq.Channel)
            await wire.write_queue.put(ChannelFrame.marshall(channel_number=wire.number, frames=frames))

    async def reply(self) -> dict[str, Any]:
        """The next reply."""
        async with asyncio.timeout(20):
            told = await self.replies.get()
        value: dict[str, Any] = orjson.loads(told.body)
        return value

    async def submit(self, message: object, **properties: Any) -> dict[str, Any]:
        """Publish, and return the reply to it."""
        await self.publish(message, **properties)
        return await self.reply()


@asynccontextmanager
async def a_producer(url: str, prefix: str) -> AsyncIterator[Producer]:
    """Give another program, connected as the user of the URL."""
    connection = await aio_pika.connect(url)
    async with connection, connection.channel() as channel:
        queue = await channel.declare_queue(exclusive=True)
        producer = Producer(
            connection=connection,
            channel=channel,
            exchange=f"{prefix}penstock.submit",
            reply_to=queue.name,
            user_id=URL(url).user,
        )
        await queue.consume(producer.replies.put, no_ack=True)
        yield producer


@asynccontextmanager
async def an_intake(
    url: str,
    database: Database,
    *,
    prefix: str,
    projects: Mapping[str, str] | None = None,
    routes: frozenset[str] = ROUTES,
    on_accepted: Callable[[], None] = lambda: None,
    prefetch: int = 32,
    through: TcpProxy | None = None,
) -> AsyncIterator[AmqpIntake]:
    """Run an intake that is ready; with `through` it reaches the server by way of a proxy only."""
    intake = AmqpIntake(
        proxied(url, through),
        database,
        projects=projects or {URL(url).user or "": PROJECT},
        routes=routes,
        clock=SystemClock(),
        random=random.random,
        prefix=prefix,
        timings=QUICK,
        prefetch=prefetch,
        on_accepted=on_accepted,
    )
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(intake.run())
        try:
            await eventually(lambda: intake.problem is None)
            yield intake
        finally:
            running.cancel()


@asynccontextmanager
async def a_delivery(
    url: str, database: Database, *, prefix: str, through: TcpProxy | None = None, **sizes: int
) -> AsyncIterator[ResultDelivery]:
    """Run a delivery."""
    delivery = ResultDelivery(
        proxied(url, through),
        database,
        clock=SystemClock(),
        random=random.random,
        prefix=prefix,
        timings=QUICK,
        **sizes,
    )
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(delivery.run())
        try:
            yield delivery
        finally:
            running.cancel()


def proxied(url: str, through: TcpProxy | None) -> str:
    """The URL by way of a proxy."""
    return url if through is None else str(URL(url).with_host("127.0.0.1").with_port(through.port))


@asynccontextmanager
async def cleaned(url: str, prefix: str, *results: str) -> AsyncIterator[str]:
    """Leave nothing of this prefix behind."""
    try:
        yield prefix
    finally:
        await delete(url, f"{prefix}penstock.submit", f"{prefix}penstock.quarantine", *results)
        connection = await aio_pika.connect(url)
        async with connection, connection.channel() as channel:
            await channel.exchange_delete(f"{prefix}penstock.submit")


async def taken(url: str, queue: str, most: int) -> list[AbstractIncomingMessage]:
    """Take so many messages out of a queue, waiting for them."""
    return await taken_until(url, queue, lambda messages: len(messages) >= most, prefetch=min(most, 200))


async def taken_until(
    url: str, queue: str, enough: Callable[[list[AbstractIncomingMessage]], bool], *, prefetch: int = 5
) -> list[AbstractIncomingMessage]:
    """Take messages out of a queue until these are enough."""
    connection = await aio_pika.connect(url)
    async with connection, connection.channel() as channel:
        await channel.set_qos(prefetch_count=prefetch)
        source = await channel.get_queue(queue, ensure=False)
        arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        await source.consume(arrived.put)
        messages: list[AbstractIncomingMessage] = []
        async with asyncio.timeout(60):
            while not enough(messages):
                messages.append(await arrived.get())
                await messages[-1].ack()
        return messages


async def becomes(look: Callable[[], Coroutine[Any, Any, object]], timeout_s: float = 20.0) -> None:
    """Look until what is seen is true; raises `TimeoutError`."""
    async with asyncio.timeout(timeout_s):
        while not await look():  # noqa: ASYNC110 - a database tells nobody
            await asyncio.sleep(0)
