"""What one channel has delivered, while it lives and afterwards."""

import asyncio

from broker.testing.contracts.transport import ROUTE, a_turn
from broker.transport.port import TransportUnavailable
from broker.transport.rabbitmq.inbox import Inbox, RabbitDelivery


class Acks:
    def __init__(self) -> None:
        self.sent: list[int] = []

    async def __call__(self, tag: int) -> None:
        self.sent.append(tag)


def filled(acks: Acks, *tags: int) -> Inbox:
    inbox = Inbox(["q"], acks)
    for tag in tags:
        inbox.came("q")
        inbox.put("q", tag, a_turn(tag))
    return inbox


def taken(inbox: Inbox) -> RabbitDelivery:
    delivery = inbox.pop("q")
    assert delivery is not None
    return delivery


def test_each_delivery_is_acked_once_by_its_own_tag() -> None:
    acks = Acks()
    inbox = filled(acks, 1, 2)
    first, second = taken(inbox), taken(inbox)
    for delivery in (second, first, second):
        asyncio.run(delivery.ack())
    assert acks.sent == [2, 1]
    assert inbox.in_hand == inbox.jobs(ROUTE) == inbox.unacked["q"] == 0


def test_when_the_channel_is_lost_nothing_is_given_out_or_acked_any_more() -> None:
    acks = Acks()
    inbox = filled(acks, 1, 2)
    in_hand = taken(inbox)
    inbox.end()
    assert inbox.pop("q") is None
    inbox.put("q", 3, a_turn(3))  # unpacked too late
    assert inbox.pop("q") is None
    asyncio.run(in_hand.ack())
    assert acks.sent == []
    assert inbox.jobs(ROUTE) == inbox.in_hand == 0


def test_an_ack_that_gets_lost_is_nobodys_trouble() -> None:
    async def fails(_: int) -> None:
        raise TransportUnavailable("gone")

    inbox = Inbox(["q"], fails)
    inbox.came("q")
    inbox.put("q", 1, a_turn(1))
    asyncio.run(taken(inbox).ack())
    assert inbox.in_hand == 0


def test_jobs_are_held_until_they_are_acked_and_not_until_they_are_taken() -> None:
    acks = Acks()
    inbox = filled(acks, 1, 2)
    assert (inbox.untaken, inbox.in_hand, inbox.jobs(ROUTE)) == (2, 0, 2)
    delivery = taken(inbox)
    assert (inbox.untaken, inbox.in_hand, inbox.jobs(ROUTE)) == (1, 1, 2)
    asyncio.run(delivery.ack())
    assert (inbox.untaken, inbox.in_hand, inbox.jobs(ROUTE)) == (1, 0, 1)
