"""Publishing to a real RabbitMQ: what is not confirmed is an error, and a publish always ends."""

import asyncio
from dataclasses import replace

import aio_pika
import pytest

from broker.errors import ConfigError
from broker.testing.contracts.transport import OTHER, ROUTE, Hands, a_job, a_turn, positions, waiting_becomes
from broker.transport.envelope import INLINE_JOB_BYTES, decode
from broker.transport.port import Delivery, TransportUnavailable, Turn
from broker.transport.rabbitmq.counts import QueueCount
from broker.transport.rabbitmq.declaring import QueueMismatch
from broker.transport.rabbitmq.publisher import TurnTooLarge
from broker.transport.rabbitmq.topology import QUEUE_ARGUMENTS
from broker.transport.rabbitmq.transport import RabbitTransport
from tests.rabbit_rig import QUICK, Losses, Rig, a_channel, a_transport, delete, no_jobs


def test_a_turn_without_a_queue_is_not_published_and_the_loss_is_reported(rabbitmq_url: str) -> None:
    async def run() -> None:
        lost = Losses()
        async with a_transport(rabbitmq_url, on_lost=lost) as transport:
            await transport.publish([a_turn(0)])
            await delete(rabbitmq_url, transport.topology.ready(ROUTE))
            with pytest.raises(TransportUnavailable, match="no queue"):
                await transport.publish([a_turn(1), a_turn(2)])
            assert lost.count == 1
            await transport.publish([a_turn(1), a_turn(2)])
            assert positions(await Hands(transport).take(2)) == [1, 2]

    asyncio.run(run())


def test_a_deleted_queue_is_not_brought_back_in_silence_by_counting(rabbitmq_url: str) -> None:
    async def run() -> None:
        lost = Losses()
        async with a_transport(rabbitmq_url, on_lost=lost) as transport:
            assert await transport.waiting(ROUTE) == 0
            await transport.publish([a_turn(0, 1)])
            await waiting_becomes(Rig(transport=transport), ROUTE, 2)
            assert lost.count == 0
            await delete(rabbitmq_url, transport.topology.ready(ROUTE))
            await waiting_becomes(Rig(transport=transport), ROUTE, 0)
            assert lost.count == 1
            await transport.publish([a_turn(0)])  # it was made again
            assert lost.count == 1

    asyncio.run(run())


def test_a_turn_too_large_is_refused_here_and_takes_no_neighbour_with_it(rabbitmq_url: str) -> None:
    async def run() -> None:
        async with a_transport(rabbitmq_url, most_bytes=1_000) as transport:
            large = Turn(route=ROUTE, jobs=(replace(a_job(1), body=b"x" * 1_000),))
            with pytest.raises(TurnTooLarge, match="at most 1,000"):
                await transport.publish([a_turn(0), large, a_turn(2)])
            assert positions(await Hands(transport).take(2)) == [0, 2]

    asyncio.run(run())


def test_a_large_job_is_looked_up_by_the_consumer(rabbitmq_url: str) -> None:
    large = replace(a_job(1), body=b"x" * (INLINE_JOB_BYTES + 1))

    async def run() -> None:
        async def find(keys: object) -> object:
            assert keys == (large.key,)
            return [large]

        async with a_transport(rabbitmq_url, find_jobs=find) as transport:
            turn = Turn(route=ROUTE, jobs=(a_job(0), large))
            await transport.publish([turn])
            (delivery,) = await Hands(transport).take(2)
            assert delivery.turn == turn

    asyncio.run(run())


def test_messages_are_persistent_in_durable_quorum_queues(rabbitmq_url: str) -> None:
    async def run() -> None:
        async with a_transport(rabbitmq_url) as transport:
            await transport.publish([a_turn(0)])
            queue = transport.topology.ready(ROUTE)
            async with a_channel(rabbitmq_url) as channel:
                # Declared equally, this is no error; any difference would be one
                made = await channel.declare_queue(queue, durable=True, arguments=dict(QUEUE_ARGUMENTS))
                message = await made.get(timeout=5)
                assert message.delivery_mode is aio_pika.DeliveryMode.PERSISTENT
                await message.ack()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("arguments", "differs"),
    [
        ({**QUEUE_ARGUMENTS, "x-delivery-limit": 5}, "x-delivery-limit"),
        ({"x-queue-type": "classic", "x-overflow": "reject-publish"}, "x-queue-type"),
        ({**QUEUE_ARGUMENTS, "x-message-ttl": 60_000}, "x-message-ttl"),
    ],
)
def test_a_queue_made_differently_is_an_error_that_names_the_argument(
    rabbitmq_url: str, arguments: dict[str, str | int], differs: str
) -> None:
    async def run() -> None:
        async with a_transport(rabbitmq_url) as transport:
            queue = transport.topology.ready(ROUTE)
            async with a_channel(rabbitmq_url) as channel:
                await channel.declare_queue(queue, durable=True, arguments=dict(arguments))
            try:
                with pytest.raises(QueueMismatch, match=differs) as mismatch:
                    await transport.prepare([ROUTE])
                assert mismatch.value.argument == differs
                assert isinstance(mismatch.value, ConfigError)
                with pytest.raises(TransportUnavailable, match=differs):
                    await transport.publish([a_turn(0)])
                await transport.prepare([OTHER])  # its neighbours can be used
                await transport.publish([a_turn(1, route=OTHER)])
            finally:
                await delete(rabbitmq_url, queue)

    asyncio.run(run())


def test_a_queue_that_an_operator_has_bounded_refuses_turns_instead_of_dropping_old_ones(rabbitmq_url: str) -> None:
    """A policy would do it; without its tools the same argument on a queue made beforehand does."""

    async def run() -> None:
        async with a_transport(rabbitmq_url) as transport:
            queue = transport.topology.ready(ROUTE)
            async with a_channel(rabbitmq_url) as channel:
                await channel.declare_queue(queue, durable=True, arguments={**QUEUE_ARGUMENTS, "x-max-length": 3})
            transport._publisher._counts[queue] = QueueCount(QUICK)  # known already: it is not declared again

            async def one_after_the_other() -> None:
                for position in range(50):  # some more than the bound get in: the server says late that it is reached
                    await transport.publish([a_turn(position)])

            with pytest.raises(TransportUnavailable, match="Nack"):
                await one_after_the_other()
            async with a_channel(rabbitmq_url) as channel:
                first = await (await channel.get_queue(queue, ensure=False)).get(timeout=5)
                assert positions_of(first.body) == [0], "the oldest is still there"

    asyncio.run(run())


def test_many_turns_of_several_routes_are_published_in_one_call(rabbitmq_url: str) -> None:
    async def run() -> None:
        async with a_transport(rabbitmq_url) as transport:
            await transport.publish([a_turn(n, route=route) for n in range(300) for route in (ROUTE, OTHER)])
            hands = Hands(transport, ROUTE, OTHER)
            taken: list[Delivery] = []
            while len(taken) < 600:
                more = await hands.take(1)
                taken += more
                for delivery in more:
                    await delivery.ack()
            assert positions(taken) == sorted(2 * list(range(300)))

    asyncio.run(run())


def test_jobs_are_counted_and_not_turns(rabbitmq_url: str) -> None:
    async def run() -> None:
        async with a_transport(rabbitmq_url) as transport:
            await transport.publish([a_turn(*range(8)), a_turn(8, 9, 10), replace(a_turn(11), interactive=True)])
            await waiting_becomes(Rig(transport=transport), ROUTE, 12)
            async with a_channel(rabbitmq_url) as channel:
                queue = await channel.get_queue(transport.topology.ready(ROUTE), ensure=False)
                first = await queue.get(timeout=5)
                await waiting_becomes(Rig(transport=transport), ROUTE, 4)
                await first.ack()

    asyncio.run(run())


@pytest.mark.parametrize("url", ["http://localhost", "localhost:5672", "amqp://"])
def test_a_wrong_address_is_the_operators_mistake(url: str) -> None:
    with pytest.raises(ConfigError, match="RabbitMQ"):
        RabbitTransport(url, find_jobs=no_jobs)


def positions_of(payload: bytes) -> list[int]:
    turn = decode(payload).turn({})
    assert turn is not None
    return [job.key.position for job in turn.jobs]
