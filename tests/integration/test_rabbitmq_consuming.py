"""Consuming from a real RabbitMQ: what was not acked comes again, and a consumer never falls silent."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from broker.domain.job import Job
from broker.errors import StoreUnavailable
from broker.testing.contracts.transport import OTHER, ROUTE, Hands, a_job, a_turn, count, positions, waiting_becomes
from broker.testing.outages import eventually
from broker.transport.envelope import INLINE_JOB_BYTES, encode
from broker.transport.port import Delivery, Turn
from broker.transport.rabbitmq.consumer import RabbitConsumer
from broker.transport.rabbitmq.subscription import Subscription
from broker.transport.rabbitmq.transport import FIRST_JOBS
from tests.rabbit_rig import QUICK, Losses, Rig, a_channel, a_transport, delete, depth, put

UNHURRIED = replace(QUICK, drain=0.05)
"""A worker that dies does not wait for its acks."""


def rabbit(hands: Hands) -> RabbitConsumer:
    assert isinstance(hands.consumer, RabbitConsumer)
    return hands.consumer


def subscription(hands: Hands) -> Subscription:
    found = rabbit(hands)._subscription
    assert found is not None
    return found


async def ack_all(deliveries: Sequence[Delivery]) -> None:
    for delivery in deliveries:
        await delivery.ack()


def test_what_a_dead_worker_held_goes_to_another(rabbitmq_url: str) -> None:
    async def run() -> None:
        async with a_transport(rabbitmq_url) as survivor:
            await survivor.publish([a_turn(n) for n in range(6)])
            prefix = survivor.topology.prefix
            async with a_transport(rabbitmq_url, prefix=prefix, timings=UNHURRIED) as dying:
                hands = Hands(dying)
                await hands.take(2, at_once=2)
                dying._consuming._line.abort()  # type: ignore[union-attr]
                for consumer in dying._consumers:
                    consumer.stop()
                again = await Hands(survivor).take(6)
                assert positions(again) == list(range(6))
                await ack_all(again)
                await waiting_becomes(Rig(transport=survivor), ROUTE, 0)

    asyncio.run(run())


def test_after_a_lost_channel_everything_untaken_comes_again_and_old_acks_do_nothing(rabbitmq_url: str) -> None:
    async def run() -> None:
        async with a_transport(rabbitmq_url) as transport:
            hands = Hands(transport)
            await transport.publish([a_turn(n) for n in range(4)])
            (old, *_) = await hands.take(1, at_once=1)
            before = subscription(hands)
            await eventually(lambda: before.inbox.untaken == 3)
            wire = await before._channel.get_underlay_channel()  # type: ignore[union-attr]
            await wire.close()
            assert not hands.consumer.take(10)
            new = await hands.take(4)
            assert positions(new) == [0, 1, 2, 3]
            await old.ack()  # of the old channel: its tag is somebody else's on the new one
            assert transport._consumers[0].held(ROUTE) == 4
            await ack_all(new)
            assert subscription(hands) is not before
            await waiting_becomes(Rig(transport=transport), ROUTE, 0)
            assert await depth(rabbitmq_url, transport.topology.ready(ROUTE)) == 0

    asyncio.run(run())


def test_a_second_ack_is_never_sent(rabbitmq_url: str) -> None:
    """RabbitMQ would close the channel, and deliver everything on it again."""

    async def run() -> None:
        async with a_transport(rabbitmq_url) as transport:
            hands = Hands(transport)
            await transport.publish([a_turn(n) for n in range(10)])
            taken = await hands.take(10)
            before = subscription(hands)
            for _ in range(3):
                await taken[0].ack()
            await ack_all(taken[1:9])
            await transport.publish([a_turn(10)])
            assert positions(await hands.take(1)) == [10]
            assert subscription(hands) is before
            assert not before.inbox.over

    asyncio.run(run())


def test_a_queue_deleted_under_the_consumer_is_made_again_and_consumed(rabbitmq_url: str) -> None:
    async def run() -> None:
        lost = Losses()
        async with a_transport(rabbitmq_url, on_lost=lost) as transport:
            hands = Hands(transport)
            await transport.publish([a_turn(0), a_turn(1, route=ROUTE)])
            taken = await hands.take(2)
            before = subscription(hands)
            await delete(rabbitmq_url, transport.topology.ready(ROUTE))
            await eventually(lambda: lost.count)
            async with asyncio.timeout(10):
                while not before._tags or len(before._tags) < 2 or before._cancelled:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            await ack_all(taken)  # of a queue that is no more: harmless
            await transport.publish([a_turn(2)])
            assert positions(await hands.take(1)) == [2]
            assert subscription(hands) is before, "its other queues were not disturbed"

    asyncio.run(run())


def test_a_consumer_that_is_gone_without_a_word_is_noticed(rabbitmq_url: str) -> None:
    async def run() -> None:
        async with a_transport(rabbitmq_url) as transport:
            hands = Hands(transport)
            await transport.publish([a_turn(0)])
            await hands.take(1)
            before = subscription(hands)
            await eventually(lambda: before._prefetch == FIRST_JOBS and len(before._tags) == 2)
            wire = await before._channel.get_underlay_channel()  # type: ignore[union-attr]
            for tag in tuple(before._tags):
                await wire.basic_cancel(tag)  # behind its back
            await transport.publish([a_turn(1)])
            assert positions(await hands.take(2)) == [0, 1]
            assert subscription(hands) is not before

    asyncio.run(run())


def test_an_idle_consumer_is_left_alone(rabbitmq_url: str) -> None:
    async def run() -> None:
        async with a_transport(rabbitmq_url) as transport:
            hands = Hands(transport)
            await transport.publish([a_turn(0)])
            await ack_all(await hands.take(1))
            before = subscription(hands)
            consuming_since = max(before._heard.values())
            # It asks about each queue, twice, and finds nothing amiss
            await eventually(lambda: min(before._heard.values()) > consuming_since + 2 * QUICK.silence)
            assert subscription(hands) is before

    asyncio.run(run())


def test_a_worker_holds_no_more_than_it_was_told(rabbitmq_url: str) -> None:
    async def run() -> None:
        async with a_transport(rabbitmq_url) as transport:
            hands = Hands(transport)
            rabbit(hands).resize(80)
            await transport.publish([a_turn(n) for n in range(60)])
            # Unknown turns are taken for large ones at first; then the count follows what they really are
            taken = await hands.take(20, at_once=1)
            await ack_all(taken)
            await eventually(lambda: rabbit(hands).held(ROUTE) == 40)
            rabbit(hands).resize(4)
            await ack_all(await hands.take(40))
            await eventually(lambda: subscription(hands)._prefetch == 4)
            await transport.publish([a_turn(n) for n in range(100, 120)])
            await waiting_becomes(Rig(transport=transport), ROUTE, 20)
            await eventually(lambda: rabbit(hands).held(ROUTE) == 4)
            assert await depth(rabbitmq_url, transport.topology.ready(ROUTE)) == 16

    asyncio.run(run())


def test_a_pause_sends_back_what_nobody_took_and_keeps_what_is_in_hand(rabbitmq_url: str) -> None:
    async def run() -> None:
        async with a_transport(rabbitmq_url) as transport:
            hands = Hands(transport)
            await transport.publish([a_turn(n) for n in range(3)])
            (in_hand,) = await hands.take(1, at_once=1)
            await eventually(lambda: rabbit(hands).held(ROUTE) == 3)
            rabbit(hands).resize(0)
            assert not hands.consumer.take(10)
            await in_hand.ack()
            queue = transport.topology.ready(ROUTE)
            await eventually(lambda: rabbit(hands).held(ROUTE) == 0)
            await waiting_becomes(Rig(transport=transport), ROUTE, 2)
            assert await depth(rabbitmq_url, queue) == 2
            await transport.publish([a_turn(3)])
            assert not hands.consumer.take(10)
            rabbit(hands).resize(32)
            again = await hands.take(3)
            assert sorted(positions([in_hand, *again])) == [0, 1, 2, 3]

    asyncio.run(run())


def test_interactive_turns_go_first(rabbitmq_url: str) -> None:
    async def run() -> None:
        async with a_transport(rabbitmq_url) as transport:
            hands = Hands(transport)
            await transport.publish([*(a_turn(n) for n in range(4)), replace(a_turn(9), interactive=True)])
            await eventually(lambda: rabbit(hands).held(ROUTE) == 5)
            (first,) = hands.consumer.take(1)
            assert positions([first]) == [9]
            assert first.turn.interactive

    asyncio.run(run())


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"", "no line"),
        (b"\xff\xfe\x00", "no line"),
        (b'{"v":1}\n', "does not say"),
        (encode(a_turn(0, route=OTHER)), "another route"),
    ],
)
def test_what_is_no_turn_is_put_aside_with_the_reason_and_stops_nobody(
    rabbitmq_url: str, payload: bytes, says: str
) -> None:
    async def run() -> None:
        async with a_transport(rabbitmq_url) as transport:
            hands = Hands(transport)
            await transport.publish([a_turn(0)])
            await hands.take(1)
            queue = transport.topology.ready(ROUTE)
            before = subscription(hands)
            await put(rabbitmq_url, queue, payload)
            await transport.publish([a_turn(1)])
            assert positions(await hands.take(1)) == [1]
            await eventually(lambda: transport.topology.quarantine in transport.queues)
            await eventually(lambda: before.inbox.unacked[queue] == 2)
            async with a_channel(rabbitmq_url) as channel:
                aside = await channel.get_queue(transport.topology.quarantine, ensure=False)
                message = await aside.get(timeout=5)
                assert message.body == payload
                assert says in str(message.headers["penstock-reason"])
                assert message.headers["penstock-queue"] == queue
                await message.ack()
            assert subscription(hands) is before
            assert await depth(rabbitmq_url, queue) == 0

    asyncio.run(run())


def test_large_jobs_wait_for_a_database_that_is_away(rabbitmq_url: str) -> None:
    large = replace(a_job(1), body=b"x" * (INLINE_JOB_BYTES + 1))
    tries = 0

    async def run() -> None:
        async def find(_: object) -> Sequence[Job]:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise StoreUnavailable("away")
            return [large]

        async with a_transport(rabbitmq_url, find_jobs=find) as transport:
            hands = Hands(transport)
            await transport.publish([Turn(route=ROUTE, jobs=(large,)), a_turn(0)])
            first = await hands.take(1)
            assert positions(first) == [0], "its neighbours do not wait for it"
            assert (await hands.take(1))[0].turn.jobs == (large,)

    asyncio.run(run())


def test_a_turn_whose_jobs_are_all_gone_is_let_go(rabbitmq_url: str) -> None:
    large = replace(a_job(1), body=b"x" * (INLINE_JOB_BYTES + 1))

    async def run() -> None:
        async with a_transport(rabbitmq_url) as transport:
            hands = Hands(transport)
            await transport.publish([Turn(route=ROUTE, jobs=(large,)), a_turn(0)])
            (delivery,) = await hands.take(1)
            await eventually(lambda: subscription(hands).inbox.unacked[transport.topology.ready(ROUTE)] == 1)
            await delivery.ack()
            await waiting_becomes(Rig(transport=transport), ROUTE, 0)

    asyncio.run(run())


def test_leaving_cancels_drains_acks_and_only_then_closes(rabbitmq_url: str) -> None:
    async def run() -> None:
        async with a_transport(rabbitmq_url) as observer:
            queue = observer.topology.ready(ROUTE)
            await observer.publish([a_turn(n) for n in range(30)])

            async def acks_late(taken: Sequence[Delivery], stopped: asyncio.Event) -> None:
                await stopped.wait()
                await ack_all(taken)

            stopped = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                async with a_transport(
                    rabbitmq_url, prefix=observer.topology.prefix, timings=replace(QUICK, drain=10)
                ) as leaving:
                    hands = Hands(leaving)
                    taken = await hands.take(10, at_once=1)
                    tasks.create_task(acks_late(taken, stopped))
                    consumer = rabbit(hands)
                    consumer.stop()
                    await eventually(lambda: not subscription(hands)._tags)
                    assert not hands.consumer.take(10), "nothing new is begun"
                    asyncio.get_running_loop().call_later(0.1, stopped.set)
                    leaving_rig = leaving
                    # Deleting the queues is left to the observer
                    leaving._consumers.clear()
                    leaving._publisher._counts.clear()
                assert leaving_rig._working is None
            again = await Hands(observer).take(30 - count(taken))
            assert sorted(positions(taken) + positions(again)) == list(range(30))
            assert await depth(rabbitmq_url, queue) == 0

    asyncio.run(run())
