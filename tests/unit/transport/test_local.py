"""The transport inside one process: what its contract does not say."""

import asyncio
from collections import Counter

from broker.testing.contracts.transport import a_turn
from broker.transport.local import LocalTransport


def test_a_full_route_does_not_hold_back_another() -> None:
    async def run() -> Counter[str]:
        transport = LocalTransport()
        consumer = transport.consume(["a", "b", "c"], lambda: None)
        await transport.publish([a_turn(position, route="a") for position in range(100)])
        await transport.publish([a_turn(position, route=route) for position in range(3) for route in ("b", "c")])
        return Counter(delivery.turn.route for delivery in consumer.take(9))

    assert asyncio.run(run()) == {"a": 3, "b": 3, "c": 3}


def test_the_turn_passes_on_between_takes() -> None:
    async def run() -> list[str]:
        transport = LocalTransport()
        consumer = transport.consume(["a", "b"], lambda: None)
        await transport.publish([a_turn(position, route=route) for position in range(3) for route in ("a", "b")])
        return [consumer.take(1)[0].turn.route for _ in range(6)]

    assert asyncio.run(run()) == ["a", "b"] * 3


def test_what_is_left_of_a_route_is_taken_when_the_others_are_empty() -> None:
    async def run() -> int:
        transport = LocalTransport()
        consumer = transport.consume(["a", "b", "c"], lambda: None)
        await transport.publish([a_turn(position, route="b") for position in range(5)])
        return len(consumer.take(10))

    assert asyncio.run(run()) == 5


def test_a_consumer_without_routes_takes_nothing() -> None:
    assert LocalTransport().consume([], lambda: None).take(10) == []


def test_only_those_who_serve_the_route_are_woken_and_once_for_all_its_turns() -> None:
    async def run() -> list[str]:
        transport = LocalTransport()
        woken: list[str] = []
        transport.consume(["a"], lambda: woken.append("first"))
        transport.consume(["a", "b"], lambda: woken.append("second"))
        transport.consume(["b"], lambda: woken.append("third"))
        await transport.publish([a_turn(0, route="a"), a_turn(1, route="a")])
        return woken

    assert sorted(asyncio.run(run())) == ["first", "second"]


def test_chance_says_who_is_told_first() -> None:
    """In turn would not do: two jobs that come round at one pace would each meet the one that has to hand them back."""
    chances = iter([0.0, 0.4, 0.99, 0.5])

    async def run() -> list[str]:
        transport = LocalTransport(lambda: next(chances))
        woken: list[str] = []
        for name in ("first", "second", "third"):
            transport.consume(["a"], lambda name=name: woken.append(name))  # type: ignore[misc]
        for position in range(4):
            await transport.publish([a_turn(position, route="a")])
        return woken[::3]

    # By 0, 1, 2 and 1 places, each from where the one before has left them
    assert asyncio.run(run()) == ["first", "third", "first", "third"]
