"""Connections to a real RabbitMQ that are cut, reset, silenced or not there yet, through a proxy that a test owns."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest
from yarl import URL

from broker.testing.contracts.transport import ROUTE, Hands, a_turn, positions, waiting_becomes
from broker.testing.outages import eventually
from broker.testing.tcp_proxy import TcpProxy, proxy
from broker.transport.port import TransportUnavailable
from broker.transport.rabbitmq.transport import RabbitTransport
from tests.rabbit_rig import QUICK, Losses, Rig, a_transport, depth

PATIENT = replace(QUICK, publish=5)


def address(url: str) -> tuple[str, int]:
    parsed = URL(url)
    return str(parsed.host), parsed.port or 5672


def made(gate: TcpProxy, connections: int) -> bool:
    return gate.connections >= connections


async def published(transport: RabbitTransport, *positions_: int) -> None:
    """Publish as the feeder does: again, until it is said to be there."""
    async with asyncio.timeout(15):
        while True:
            try:
                return await transport.publish([a_turn(position) for position in positions_])
            except TransportUnavailable:
                await asyncio.sleep(0.05)


def test_a_server_that_comes_later_than_we_is_waited_for(rabbitmq_url: str) -> None:
    async def run() -> None:
        async with (
            proxy(*address(rabbitmq_url), listening=False) as gate,
            a_transport(rabbitmq_url, through=gate, timings=PATIENT) as transport,
        ):
            hands = Hands(transport)
            async with asyncio.TaskGroup() as tasks:
                publishing = tasks.create_task(transport.publish([a_turn(0)]))
                await eventually(lambda: len(transport.problems) == 1)
                assert "no connection to RabbitMQ" in transport.problems[0]
                assert "guest" not in transport.problems[0], "no password in what people read"
                assert not publishing.done()
                await gate.listen()
            assert positions(await hands.take(1)) == [0]
            assert transport.problems == ()

    asyncio.run(run())


def test_publishing_and_counting_without_a_server_end_in_time_and_say_why(rabbitmq_url: str) -> None:
    async def run() -> None:
        async with proxy(*address(rabbitmq_url), listening=False) as gate:
            transport = RabbitTransport(
                f"amqp://guest:guest@127.0.0.1:{gate.port}/", find_jobs=nothing, timings=replace(QUICK, publish=0.3)
            )
            async with asyncio.timeout(10), transport:
                with pytest.raises(TransportUnavailable, match="no connection to RabbitMQ"):
                    await transport.publish([a_turn(0)])
                with pytest.raises(TransportUnavailable, match="no connection to RabbitMQ"):
                    await transport.waiting(ROUTE)
                with pytest.raises(TransportUnavailable, match="no connection to RabbitMQ"):
                    await transport.prepare([ROUTE])

    asyncio.run(run())


@pytest.mark.parametrize("how", ["cut", "reset"])
def test_everything_goes_on_after_connections_are_lost(rabbitmq_url: str, how: str) -> None:
    async def run() -> None:
        lost = Losses()
        async with (
            proxy(*address(rabbitmq_url)) as gate,
            a_transport(rabbitmq_url, through=gate, on_lost=lost) as transport,
        ):
            hands = Hands(transport)
            seen: set[int] = set()
            for once in range(3):
                await published(transport, once * 2, once * 2 + 1)
                for delivery in await hands.take(1):
                    seen.update(positions([delivery]))
                {"cut": gate.cut, "reset": gate.reset}[how]()
                await eventually(partial(made, gate, gate.connections + 2))
            await published(transport, 6)
            while seen != set(range(7)):
                for delivery in await hands.take(1):
                    seen.update(positions([delivery]))
                    await delivery.ack()
            assert lost.count == 3, "once for each loss of the publishing connection"

    asyncio.run(run())


def test_turns_in_hand_survive_the_loss_and_their_acks_disturb_nobody(rabbitmq_url: str) -> None:
    async def run() -> None:
        async with proxy(*address(rabbitmq_url)) as gate, a_transport(rabbitmq_url, through=gate) as transport:
            hands = Hands(transport)
            await transport.publish([a_turn(0, 1), a_turn(2)])
            in_hand = await hands.take(3)
            gate.reset()
            again = await hands.take(3)
            assert positions(again) == [0, 1, 2]
            assert positions(in_hand) == [0, 1, 2]
            for delivery in in_hand:
                await delivery.ack()
            assert transport._consumers[0].held(ROUTE) == 3
            for delivery in again:
                await delivery.ack()
            await waiting_becomes(Rig(transport=transport), ROUTE, 0)
            assert await depth(rabbitmq_url, transport.topology.ready(ROUTE)) == 0

    asyncio.run(run())


def test_a_connection_that_swallows_everything_is_given_up_within_the_deadline(rabbitmq_url: str) -> None:
    async def run() -> None:
        async with proxy(*address(rabbitmq_url)) as gate, a_transport(rabbitmq_url, through=gate) as transport:
            hands = Hands(transport)
            await published(transport, 0)
            for delivery in await hands.take(1):
                await delivery.ack()
            before, dead = gate.connections, transport._publishing._line
            gate.black_hole()
            async with asyncio.timeout(10):
                with pytest.raises(TransportUnavailable, match="no answer"):
                    await transport.publish([a_turn(1)])
            assert dead is not None
            assert dead.lost.is_set()
            # The consumer, too, finds out by asking; both try again, and get no greeting yet
            await eventually(lambda: gate.connections >= before + 2)
            gate.heal()
            await published(transport, 2)
            seen: list[int] = []
            while 2 not in seen:
                seen += positions(await hands.take(1))

    asyncio.run(run())


def test_leaving_ends_in_time_while_the_server_is_away(rabbitmq_url: str) -> None:
    async def run() -> None:
        async with (
            proxy(*address(rabbitmq_url)) as gate,
            asyncio.timeout(15),
            a_transport(rabbitmq_url, through=gate) as transport,
        ):
            hands = Hands(transport)
            await published(transport, 0)
            await hands.take(1)
            gate.black_hole()

    asyncio.run(run())


def test_two_connections_one_to_publish_and_one_to_consume_and_only_when_needed(rabbitmq_url: str) -> None:
    async def run() -> None:
        async with proxy(*address(rabbitmq_url)) as gate, a_transport(rabbitmq_url, through=gate) as transport:
            assert gate.connections == 0
            await published(transport, 0)
            assert gate.connections == 1
            await Hands(transport).take(1)
            assert gate.connections == 2

    asyncio.run(run())


async def nothing(_: object) -> tuple[()]:
    return ()
