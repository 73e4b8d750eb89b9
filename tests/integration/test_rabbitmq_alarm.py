"""A RabbitMQ that has run out of memory: a private server, which nobody else feels."""

import asyncio
from collections.abc import Iterator

import pytest

from broker.testing.contracts.transport import ROUTE, Hands, a_turn, positions
from broker.testing.outages import eventually
from broker.transport.port import TransportUnavailable
from tests.rabbit_rig import a_transport
from tests.servers.rabbitmq import Node

MEMORY = "{resource_limit, memory, node()}"


@pytest.fixture
def node(rabbitmq_node: Node) -> Iterator[Node]:
    yield rabbitmq_node
    rabbitmq_node.control("eval", f"rabbit_alarm:clear_alarm({MEMORY}).")


def unacked(node: Node, queue: str) -> int:
    listed = node.control("-q", "list_queues", "name", "messages_unacknowledged")
    rows = dict(line.split("\t", 1) for line in listed.splitlines() if "\t" in line)  # it may have more to say
    return int(rows.get(queue, "1"))


def test_an_alarm_is_seen_publishes_end_and_acks_still_get_through(node: Node) -> None:
    async def run() -> None:
        async with a_transport(node.url) as transport:
            hands = Hands(transport)
            await transport.publish([a_turn(n) for n in range(4)])
            in_hand = await hands.take(4)
            await asyncio.to_thread(node.control, "eval", f"rabbit_alarm:set_alarm({{{MEMORY}, []}}).")

            # The server says so only to a connection that publishes; from then on nothing more is sent
            async with asyncio.timeout(10):
                with pytest.raises(TransportUnavailable):
                    await transport.publish([a_turn(9)])
            await eventually(lambda: transport.blocked)
            assert any("alarm" in problem for problem in transport.problems)
            with pytest.raises(TransportUnavailable, match="alarm"):
                await transport.publish([a_turn(10)])

            queue = transport.topology.ready(ROUTE)
            for delivery in in_hand:
                await delivery.ack()
            async with asyncio.timeout(60):
                while await asyncio.to_thread(unacked, node, queue):
                    pass

            await asyncio.to_thread(node.control, "eval", f"rabbit_alarm:clear_alarm({MEMORY}).")
            await eventually(lambda: not transport.blocked)
            await transport.publish([a_turn(5)])
            seen: list[int] = []
            while 5 not in seen:
                seen += positions(await hands.take(1))
            assert 10 not in seen, "what was refused was never sent"

    asyncio.run(run())
