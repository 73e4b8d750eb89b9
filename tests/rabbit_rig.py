"""A transport on the tests' RabbitMQ, under a prefix of its own, which leaves no queue behind."""

import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aio_pika
from yarl import URL

from broker.domain.job import Job, JobKey
from broker.testing.tcp_proxy import TcpProxy
from broker.transport.port import Transport
from broker.transport.rabbitmq.publisher import MOST_BYTES
from broker.transport.rabbitmq.timings import Timings
from broker.transport.rabbitmq.transport import RabbitTransport

QUICK = Timings(
    connect=2,
    publish=2,
    ask=1,
    retry=0.05,
    longest_retry=0.3,
    look=0.1,
    silence=0.4,
    made_again=0.5,
    count=0.02,
    empty_count=0.1,
    drain=1,
    close=0.5,
)
"""Everything as in production, only sooner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """What the cases of the transport's contract work on."""

    transport: Transport


async def no_jobs(_: Sequence[JobKey]) -> Sequence[Job]:
    """Nothing is in the manifest."""
    return ()


@dataclass(kw_only=True)
class Losses:
    """Counts what is reported lost."""

    count: int = 0

    def __call__(self) -> None:
        self.count += 1


@asynccontextmanager
async def a_transport(
    url: str,
    *,
    prefix: str | None = None,
    timings: Timings = QUICK,
    on_lost: Callable[[], None] = lambda: None,
    find_jobs: Callable[[Sequence[JobKey]], object] = no_jobs,
    most_bytes: int = MOST_BYTES,
    through: TcpProxy | None = None,
) -> AsyncIterator[RabbitTransport]:
    """Give a transport; with `through` it reaches the server by way of a proxy only."""
    transport = RabbitTransport(
        url if through is None else str(URL(url).with_host("127.0.0.1").with_port(through.port)),
        find_jobs=find_jobs,  # type: ignore[arg-type]  # a test may hand in what fails
        prefix=f"test-{uuid.uuid4().hex[:12]}." if prefix is None else prefix,
        timings=timings,
        on_lost=on_lost,
        most_bytes=most_bytes,
    )
    try:
        async with transport:
            yield transport
    finally:
        await delete(url, *transport.queues, transport.topology.quarantine)


async def delete(url: str, *queues: str) -> None:
    """Delete queues, whatever is in them."""
    async with a_channel(url) as channel:
        for queue in queues:
            await channel.queue_delete(queue)


@asynccontextmanager
async def a_channel(url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """Give a channel of another client."""
    connection = await aio_pika.connect(url)
    async with connection, connection.channel() as channel:
        yield channel


async def depth(url: str, queue: str) -> int:
    """How many messages are ready in a queue."""
    async with a_channel(url) as channel:
        declared = await channel.declare_queue(queue, passive=True)
        return declared.declaration_result.message_count or 0


async def put(url: str, queue: str, payload: bytes) -> None:
    """Publish a message as some other program would."""
    async with a_channel(url) as channel:
        await channel.default_exchange.publish(aio_pika.Message(payload, delivery_mode=2), queue)
