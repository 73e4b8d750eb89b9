"""What every transport must do: cases over a rig, to be run once per adapter.

A rig owns one fresh transport. A test module parametrises over `CASES` and its rigs.
"""
# ruff: noqa: S101 - a contract is made of assertions

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from broker.domain.job import Endpoint, Job, JobKey
from broker.transport.port import Consumer, Delivery, Transport, Turn

ARRIVES_S = 10.0
ROUTE = "gpt-5-mini"
OTHER = "gpt-5-mini@azure"


class TransportRig(Protocol):
    """A transport that holds nothing yet."""

    @property
    def transport(self) -> Transport: ...


def a_job(position: int, route: str = ROUTE, *, from_due: bool = False) -> Job:
    """A job with a body that no careless encoding survives."""
    return Job(
        key=JobKey(7, position),
        custom_id=f'row "{position}" \u00e9\u2028',
        endpoint=Endpoint.CHAT_COMPLETIONS,
        route=route,
        body=b'{ "model":"gpt-5-mini", "seed":12345678901234567890123, "x":"\\u00e9\xc3\xa9" }',
        from_due=from_due,
    )


def a_turn(*positions: int, route: str = ROUTE) -> Turn:
    """One message."""
    return Turn(route=route, jobs=tuple(a_job(position, route) for position in positions))


class Hands:
    """A consumer, and the patience to wait for what it takes."""

    def __init__(self, transport: Transport, *routes: str, arrived: asyncio.Event | None = None) -> None:
        self.arrived = arrived or asyncio.Event()
        self.consumer: Consumer = transport.consume(routes or (ROUTE,), self.arrived.set)

    async def take(self, jobs: int, at_once: int = 1_000) -> list[Delivery]:
        """Take until so many jobs are here, never more than `at_once` at a time."""
        taken: list[Delivery] = []
        async with asyncio.timeout(ARRIVES_S):
            while count(taken) < jobs:
                self.arrived.clear()
                more = self.consumer.take(at_once)
                taken.extend(more)
                if not more:
                    await self.arrived.wait()
        return taken


def count(deliveries: Collection[Delivery]) -> int:
    """Jobs in these turns."""
    return sum(len(delivery.turn.jobs) for delivery in deliveries)


def positions(deliveries: Sequence[Delivery]) -> list[int]:
    """Which jobs came, sorted."""
    return sorted(job.key.position for delivery in deliveries for job in delivery.turn.jobs)


async def waiting_becomes(rig: TransportRig, route: str, jobs: int) -> None:
    """Wait until the transport counts so many jobs: over a network it may do so a moment late."""
    async with asyncio.timeout(ARRIVES_S):
        while await rig.transport.waiting(route) != jobs:  # noqa: ASYNC110 - a count has nobody who tells of a change
            await asyncio.sleep(0.01)


async def a_turn_arrives_as_it_was_published(rig: TransportRig) -> None:
    hands = Hands(rig.transport)
    turn = Turn(route=ROUTE, jobs=(a_job(0), a_job(1, from_due=True)))
    await rig.transport.publish([turn])
    (delivery,) = await hands.take(2)
    assert delivery.turn == turn


async def what_was_published_before_anybody_listened_arrives(rig: TransportRig) -> None:
    await rig.transport.publish([a_turn(0), a_turn(1)])
    assert positions(await Hands(rig.transport).take(2)) == [0, 1]


async def an_idle_worker_is_woken_by_an_arrival(rig: TransportRig) -> None:
    hands = Hands(rig.transport)
    assert not hands.consumer.take(10)
    hands.arrived.clear()
    await rig.transport.publish([a_turn(0)])
    async with asyncio.timeout(ARRIVES_S):
        await hands.arrived.wait()
    assert positions(await hands.take(1)) == [0]


async def each_turn_goes_to_one_worker(rig: TransportRig) -> None:
    arrived = asyncio.Event()
    first, second = Hands(rig.transport, arrived=arrived), Hands(rig.transport, arrived=arrived)
    await rig.transport.publish([a_turn(position) for position in range(20)])
    taken: list[Delivery] = []
    async with asyncio.timeout(ARRIVES_S):
        while count(taken) < 20:
            arrived.clear()
            more = [*first.consumer.take(1), *second.consumer.take(1)]
            taken.extend(more)
            if not more:
                await arrived.wait()
    assert positions(taken) == list(range(20))
    assert not first.consumer.take(10)
    assert not second.consumer.take(10)


async def a_turn_is_never_split(rig: TransportRig) -> None:
    hands = Hands(rig.transport)
    await rig.transport.publish([a_turn(0, 1, 2), a_turn(3)])
    (delivery,) = await hands.take(1, at_once=1)
    assert len(delivery.turn.jobs) in (1, 3)
    assert positions([delivery, *await hands.take(4 - len(delivery.turn.jobs))]) == [0, 1, 2, 3]


async def no_more_is_taken_than_asked_for(rig: TransportRig) -> None:
    hands = Hands(rig.transport)
    await rig.transport.publish([a_turn(position) for position in range(10)])
    assert not hands.consumer.take(0)
    assert not hands.consumer.take(-1)
    async with asyncio.timeout(ARRIVES_S):
        left = 10
        while left:
            hands.arrived.clear()
            taken = count(hands.consumer.take(3))
            assert taken <= 3
            left -= taken
            if not taken:
                await hands.arrived.wait()


async def what_was_taken_waits_until_it_is_acked(rig: TransportRig) -> None:
    hands = Hands(rig.transport)
    await rig.transport.publish([a_turn(0, 1), a_turn(2)])
    await waiting_becomes(rig, ROUTE, 3)
    taken = await hands.take(3)
    await waiting_becomes(rig, ROUTE, 3)
    for delivery in taken:
        await delivery.ack()
    await waiting_becomes(rig, ROUTE, 0)


async def an_ack_may_be_repeated(rig: TransportRig) -> None:
    hands = Hands(rig.transport)
    await rig.transport.publish([a_turn(0), a_turn(1)])
    first, _ = await hands.take(2)
    await first.ack()
    await first.ack()
    await waiting_becomes(rig, ROUTE, 1)


async def routes_do_not_mix(rig: TransportRig) -> None:
    hands, others = Hands(rig.transport, ROUTE), Hands(rig.transport, OTHER)
    await rig.transport.publish([a_turn(0), a_turn(1, route=OTHER)])
    assert positions(await hands.take(1)) == [0]
    assert positions(await others.take(1)) == [1]
    assert not hands.consumer.take(10)
    await waiting_becomes(rig, ROUTE, 1)
    await waiting_becomes(rig, OTHER, 1)


async def a_worker_takes_from_all_its_routes(rig: TransportRig) -> None:
    hands = Hands(rig.transport, ROUTE, OTHER)
    await rig.transport.publish([a_turn(0), a_turn(1, route=OTHER), a_turn(2)])
    assert positions(await hands.take(3)) == [0, 1, 2]


async def a_route_that_nobody_used_is_empty(rig: TransportRig) -> None:
    await waiting_becomes(rig, "never-heard-of", 0)


async def publishing_nothing_is_nothing(rig: TransportRig) -> None:
    hands = Hands(rig.transport)
    await rig.transport.publish([])
    assert not hands.consumer.take(10)
    await waiting_becomes(rig, ROUTE, 0)


async def the_same_job_may_be_published_twice(rig: TransportRig) -> None:
    hands = Hands(rig.transport)
    await rig.transport.publish([a_turn(0)])
    await rig.transport.publish([a_turn(0)])
    assert positions(await hands.take(2)) == [0, 0]


CASES: tuple[Callable[[TransportRig], Awaitable[None]], ...] = (
    a_turn_arrives_as_it_was_published,
    what_was_published_before_anybody_listened_arrives,
    an_idle_worker_is_woken_by_an_arrival,
    each_turn_goes_to_one_worker,
    a_turn_is_never_split,
    no_more_is_taken_than_asked_for,
    what_was_taken_waits_until_it_is_acked,
    an_ack_may_be_repeated,
    routes_do_not_mix,
    a_worker_takes_from_all_its_routes,
    a_route_that_nobody_used_is_empty,
    publishing_nothing_is_nothing,
    the_same_job_may_be_published_twice,
)
