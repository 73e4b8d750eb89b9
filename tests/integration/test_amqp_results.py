"""Results over AMQP: in order, at least once, from the stored cursor on, and never more than a queue should hold."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import orjson
import pytest
from aio_pika.abc import AbstractIncomingMessage
from yarl import URL

from broker.delivery.openai_lines import output_line
from broker.domain.batch import BatchState
from broker.domain.result import ResultState
from broker.store import batches, results, submissions, subscriptions, workers
from broker.store.claim import Claimant, claim
from broker.store.engine import open_database
from broker.store.finish import Finish, finish
from broker.store.record import record
from broker.store.submissions import OpenBatch, Submission
from broker.testing.builders import ACCOUNT, PROVIDER, a_claim, a_report, a_segment
from broker.testing.outages import FragileDatabase, eventually
from broker.testing.tcp_proxy import proxy
from broker.transport.public.addresses import Addresses
from broker.transport.rabbitmq.topology import QUEUE_ARGUMENTS
from tests.amqp_rig import PROJECT, a_delivery, a_prefix, becomes, cleaned, in_a_loop, taken, taken_until
from tests.rabbit_rig import a_channel, delete, depth
from tests.servers.rabbitmq import Node

CLAIMANT = Claimant(worker_id="worker-1", account=ACCOUNT, provider=PROVIDER)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A project's batches and its subscription `feed`."""

    url: str
    prefix: str
    database: FragileDatabase

    @property
    def queue(self) -> str:
        return Addresses.under(self.prefix).results(PROJECT, "feed")

    async def append(self, name: str, jobs: int, *, last: bool = False, project: str = PROJECT) -> int:
        """Add jobs to a batch; returns its id."""
        found = await self.database.write(
            submissions.append,
            Submission(project=project, submission_id=f"{name} {jobs} {last}", body_hash="1"),
            OpenBatch(project=project, name=name, dialect="openai", source=name),
            lambda first: [a_segment(range(first, first + jobs))],
            lambda done: str(done.batch_id),
            last=last,
        )
        return int(found)

    async def finish(self, batch_id: int, positions: Sequence[int]) -> None:
        """Let these jobs succeed, in this order."""
        keys = [(batch_id, position) for position in positions]
        await self.database.write(claim, CLAIMANT, [a_claim(key) for key in keys])
        await self.database.write(record, [a_report(key) for key in keys])

    async def subscribe(self, batch: str | None = None, name: str = "feed") -> None:
        message = Submission(project=PROJECT, submission_id=f"for {name}", body_hash="1")
        await self.database.write(subscriptions.subscribe, message, name, batch, "done")

    async def lines(self, batch_id: int) -> list[bytes]:
        """The batch's output, as a file would have it."""
        found = await self.database.read(results.lines_after, batch_id, 0, 100_000)
        return [output_line(line).rstrip(b"\n") for line in found]

    async def served(self) -> int:
        """How many batches still wait to be sent."""
        return len(await self.database.read(subscriptions.backlog, 100))


@asynccontextmanager
async def scene(url: str, database_url: str) -> AsyncIterator[Scene]:
    database = FragileDatabase(open_database(database_url))
    prefix = a_prefix()
    made = Scene(url=url, prefix=prefix, database=database)
    try:
        await database.write(workers.register, "worker-1", ACCOUNT)
        async with cleaned(url, prefix, made.queue):
            yield made
    finally:
        await database.close()


def seqs(messages: Sequence[AbstractIncomingMessage]) -> list[object]:
    return [message.headers["seq"] for message in messages]


def once_each(messages: Sequence[AbstractIncomingMessage]) -> list[AbstractIncomingMessage]:
    """What a subscriber takes that does as the documentation says."""
    last: dict[object, int] = {}
    kept = []
    for message in messages:
        batch, seq = message.headers["batch"], message.headers["seq"]
        if seq == last.get(batch, 0) + 1:
            last[batch] = last.get(batch, 0) + 1
            kept.append(message)
    return kept


async def everything(of: Scene, until_seq: int) -> list[AbstractIncomingMessage]:
    """Take messages until a subscriber that does as documented has the one with this `seq`."""

    def complete(messages: list[AbstractIncomingMessage]) -> bool:
        return bool(messages) and messages[-1].headers["seq"] == until_seq == len(once_each(messages))

    await wait_for_queue(of, 1)
    return await taken_until(of.url, of.queue, complete)


def tried(of: Scene, times: int) -> bool:
    """Whether a cursor was to be stored so often."""
    return of.database.calls[subscriptions.advance] >= times


async def wait_for_queue(of: Scene, messages: int, queue: str | None = None) -> None:
    async def there() -> bool:
        async with a_channel(of.url) as channel:
            made = await channel.declare_queue(
                queue or of.queue,
                durable=True,
                arguments={**QUEUE_ARGUMENTS},
            )
            return (made.declaration_result.message_count or 0) >= messages

    await becomes(there)


@in_a_loop
async def test_results_of_a_running_batch_come_in_order_with_their_end(rabbitmq_url: str, database_url: str) -> None:
    async with scene(rabbitmq_url, database_url) as s:
        batch_id = await s.append("eval", 6)
        await s.subscribe("eval")
        async with a_delivery(rabbitmq_url, s.database, prefix=s.prefix) as delivery:
            await s.finish(batch_id, [4, 1, 0])
            delivery.wake()
            await wait_for_queue(s, 3)
            await s.finish(batch_id, [5, 2, 3])
            await s.append("eval", 1, last=True)
            await s.finish(batch_id, [6])
            delivery.wake()
            await wait_for_queue(s, 8)
            messages = await taken(rabbitmq_url, s.queue, 8)
        assert seqs(messages) == list(range(1, 9))
        assert [message.headers.get("position") for message in messages] == [4, 1, 0, 5, 2, 3, 6, None]
        assert [message.body for message in messages[:7]] == await s.lines(batch_id)
        assert {message.headers["project"] for message in messages} == {PROJECT}
        assert [message.message_id for message in messages] == [f"{batch_id}-{seq}" for seq in range(1, 9)]
        assert {message.type for message in messages[:7]} == {"penstock.result"}
        assert all(message.delivery_mode == 2 for message in messages)
        end = messages[7]
        assert end.type == "penstock.batch"
        assert orjson.loads(end.body) == {
            "event": "batch.completed",
            "batch_id": batch_id,
            "batch": "eval",
            "state": "completed",
            "counts": {"total": 7, "succeeded": 7, "failed": 0, "cancelled": 0, "expired": 0},
        }


@in_a_loop
async def test_a_finished_batch_is_sent_from_its_start_and_nothing_is_sent_twice(
    rabbitmq_url: str, sqlite_url: str
) -> None:
    async with scene(rabbitmq_url, sqlite_url) as s:
        batch_id = await s.append("eval", 3, last=True)
        await s.finish(batch_id, range(3))
        await s.subscribe()
        for _ in range(2):  # the second process finds nothing to do
            async with a_delivery(rabbitmq_url, s.database, prefix=s.prefix):
                await wait_for_queue(s, 4)

                async def all_sent() -> bool:
                    return not await s.served()

                await becomes(all_sent)
        assert await depth(rabbitmq_url, s.queue) == 4


@in_a_loop
async def test_a_project_subscription_has_all_batches_each_in_its_order(rabbitmq_url: str, sqlite_url: str) -> None:
    async with scene(rabbitmq_url, sqlite_url) as s:
        first, second = await s.append("a", 30), await s.append("b", 30)
        other = await s.append("theirs", 5, project="another")
        await s.subscribe()
        async with a_delivery(rabbitmq_url, s.database, prefix=s.prefix, portion=7):
            await s.finish(first, range(30))
            await s.finish(second, range(29, -1, -1))
            await s.finish(other, range(5))
            await wait_for_queue(s, 60)
            messages = await taken(rabbitmq_url, s.queue, 60)
        for batch_id in (first, second):
            of_it = [message for message in messages if message.headers["batch"] == batch_id]
            assert seqs(of_it) == list(range(1, 31))


@in_a_loop
async def test_many_results_stay_in_order_while_they_are_in_flight_together(rabbitmq_url: str, sqlite_url: str) -> None:
    async with scene(rabbitmq_url, sqlite_url) as s:
        batch_id = await s.append("eval", 900, last=True)
        keys = [(batch_id, position) for position in range(900)]
        ends = [
            Finish(
                position=position,
                custom_id=f"row-{position}",
                state=ResultState.FAILED,
                error_code="x",
                # Of every size: large messages are cut into frames, and wait for the socket
                error_message="y" * (position * 7919 % 40_000),
            )
            for _, position in keys
        ]
        await s.database.write(finish, batch_id, ends)
        await s.subscribe()
        async with a_delivery(rabbitmq_url, s.database, prefix=s.prefix, portion=300):
            await wait_for_queue(s, 901)
            messages = await taken(rabbitmq_url, s.queue, 901)
        assert seqs(messages) == list(range(1, 902))


@in_a_loop
async def test_a_process_that_dies_between_confirm_and_cursor_sends_again_and_skips_nothing(
    rabbitmq_url: str, database_url: str
) -> None:
    async with scene(rabbitmq_url, database_url) as s:
        batch_id = await s.append("eval", 20, last=True)
        await s.finish(batch_id, range(20))
        await s.subscribe()
        for tries in (1, 4, 8):
            s.database.failing = {subscriptions.advance}
            async with a_delivery(rabbitmq_url, s.database, prefix=s.prefix, portion=6):
                # Confirmed, and the process ends before its cursor is stored
                await eventually(partial(tried, s, tries))
            s.database.failing = set()
        async with a_delivery(rabbitmq_url, s.database, prefix=s.prefix, portion=6):
            messages = await everything(s, 21)
        assert len(messages) > 21  # some came twice
        kept = once_each(messages)
        assert seqs(kept) == list(range(1, 22))
        assert [message.body for message in kept[:20]] == await s.lines(batch_id)


@in_a_loop
async def test_a_cut_connection_loses_no_result(rabbitmq_url: str, sqlite_url: str) -> None:
    parsed = URL(rabbitmq_url)
    async with scene(rabbitmq_url, sqlite_url) as s, proxy(parsed.host or "", parsed.port or 5672) as through:
        batch_id = await s.append("eval", 200, last=True)
        await s.finish(batch_id, range(200))
        await s.subscribe()
        cuts = 0

        def cut(operation: object) -> None:
            nonlocal cuts
            if operation is subscriptions.advance and cuts < 5:
                cuts += 1
                through.reset()

        s.database.before = cut
        async with a_delivery(rabbitmq_url, s.database, prefix=s.prefix, portion=20, through=through) as delivery:
            messages = await everything(s, 201)
            await eventually(lambda: delivery.problem is None)
        assert cuts == 5
        assert seqs(once_each(messages)) == list(range(1, 202))


@in_a_loop
async def test_while_the_database_is_away_results_wait(rabbitmq_url: str, sqlite_url: str) -> None:
    async with scene(rabbitmq_url, sqlite_url) as s:
        batch_id = await s.append("eval", 3, last=True)
        await s.finish(batch_id, range(3))
        await s.subscribe()
        s.database.down = True
        async with a_delivery(rabbitmq_url, s.database, prefix=s.prefix) as delivery:
            await eventually(lambda: s.database.calls[subscriptions.backlog] >= 3)
            assert "taken away" in (delivery.problem or "")
            s.database.down = False
            await wait_for_queue(s, 4)
            await eventually(lambda: delivery.problem is None)


@in_a_loop
async def test_a_queue_that_nobody_reads_gets_no_more_than_it_should_hold(rabbitmq_url: str, sqlite_url: str) -> None:
    async with scene(rabbitmq_url, sqlite_url) as s:
        batch_id = await s.append("eval", 50, last=True)
        await s.finish(batch_id, range(50))
        await s.subscribe()
        async with a_delivery(rabbitmq_url, s.database, prefix=s.prefix, portion=10, most_waiting=25) as delivery:
            await wait_for_queue(s, 25)
            looks = s.database.calls[subscriptions.backlog]
            delivery.wake()
            await eventually(lambda: s.database.calls[subscriptions.backlog] >= looks + 2)
            assert await depth(rabbitmq_url, s.queue) == 25
            messages = await everything(s, 51)
        assert seqs(messages) == list(range(1, 52))


@in_a_loop
async def test_a_refused_message_is_sent_again_with_all_that_follow(rabbitmq_node: Node, sqlite_url: str) -> None:
    """An operator's policy bounds the queue: the server refuses, and delivery waits and goes on."""
    node, url = rabbitmq_node, rabbitmq_node.url
    async with scene(url, sqlite_url) as s:
        node.control("set_policy", "--apply-to", "queues", s.prefix, f"^{s.prefix}", '{"max-length": 10}')
        batch_id = await s.append("eval", 100, last=True)
        await s.finish(batch_id, range(100))
        await s.subscribe()
        async with a_delivery(url, s.database, prefix=s.prefix, portion=40) as delivery:
            await wait_for_queue(s, 10)
            messages = await everything(s, 101)
            assert delivery.problem is None
        node.control("clear_policy", s.prefix)
        kept = once_each(messages)
        assert seqs(kept) == list(range(1, 102))
        assert [message.body for message in kept[:100]] == await s.lines(batch_id)


@in_a_loop
async def test_a_full_queue_of_one_subscriber_does_not_hold_up_another(rabbitmq_url: str, sqlite_url: str) -> None:
    async with scene(rabbitmq_url, sqlite_url) as s:
        other = Addresses.under(s.prefix).results(PROJECT, "other")
        batch_id = await s.append("eval", 30)
        await s.subscribe("eval")
        await s.subscribe(name="other")
        await s.finish(batch_id, range(30))
        async with a_delivery(rabbitmq_url, s.database, prefix=s.prefix, portion=10, most_waiting=10) as delivery:
            await wait_for_queue(s, 10)
            await wait_for_queue(s, 10, other)
            messages: list[AbstractIncomingMessage] = []
            while len(messages) < 30:
                delivery.wake()
                messages += await taken(rabbitmq_url, other, 10)
            assert seqs(messages) == list(range(1, 31))
            assert await depth(rabbitmq_url, s.queue) == 10
        await delete(rabbitmq_url, other)


@in_a_loop
async def test_a_deleted_queue_is_made_again_and_served_on(rabbitmq_url: str, sqlite_url: str) -> None:
    async with scene(rabbitmq_url, sqlite_url) as s:
        batch_id = await s.append("eval", 4)
        await s.subscribe()
        async with a_delivery(rabbitmq_url, s.database, prefix=s.prefix) as delivery:
            await s.finish(batch_id, [0, 1])
            await wait_for_queue(s, 2)

            async def all_sent() -> bool:
                return not await s.served()

            await becomes(all_sent)
            await delete(rabbitmq_url, s.queue)
            await s.finish(batch_id, [2, 3])
            delivery.wake()
            await wait_for_queue(s, 2)
            assert seqs(await taken(rabbitmq_url, s.queue, 2)) == [3, 4]


@in_a_loop
async def test_a_cancelled_batch_has_its_end_too(rabbitmq_url: str, sqlite_url: str) -> None:
    async with scene(rabbitmq_url, sqlite_url) as s:
        batch_id = await s.append("eval", 2)
        await s.subscribe()
        await s.finish(batch_id, [1])
        await s.database.write(batches.move, batch_id, BatchState.CANCELLING)
        end = Finish(
            position=0, custom_id="row-0", state=ResultState.CANCELLED, error_code="batch_cancelled", error_message=""
        )
        await s.database.write(finish, batch_id, [end])
        async with a_delivery(rabbitmq_url, s.database, prefix=s.prefix):
            await wait_for_queue(s, 3)
            *_, last = await taken(rabbitmq_url, s.queue, 3)
        assert orjson.loads(last.body)["state"] == "cancelled"
        assert orjson.loads(last.body)["counts"]["cancelled"] == 1


@in_a_loop
async def test_unsubscribing_ends_the_stream(rabbitmq_url: str, sqlite_url: str) -> None:
    async with scene(rabbitmq_url, sqlite_url) as s:
        batch_id = await s.append("eval", 4)
        await s.subscribe()
        async with a_delivery(rabbitmq_url, s.database, prefix=s.prefix) as delivery:
            await s.finish(batch_id, [0, 1])
            await wait_for_queue(s, 2)
            message = Submission(project=PROJECT, submission_id="against", body_hash="1")
            await s.database.write(subscriptions.unsubscribe, message, "feed", "done")
            await s.finish(batch_id, [2, 3])
            looks = s.database.calls[subscriptions.backlog]
            delivery.wake()
            await eventually(lambda: s.database.calls[subscriptions.backlog] >= looks + 2)
        assert await depth(rabbitmq_url, s.queue) == 2


@pytest.mark.parametrize("there_at_first", [True, False])
@in_a_loop
async def test_a_server_that_goes_away_is_waited_for(rabbitmq_url: str, sqlite_url: str, there_at_first: bool) -> None:
    parsed = URL(rabbitmq_url)
    async with (
        scene(rabbitmq_url, sqlite_url) as s,
        proxy(parsed.host or "", parsed.port or 5672, listening=there_at_first) as through,
        a_delivery(rabbitmq_url, s.database, prefix=s.prefix, through=through) as delivery,
    ):
        if there_at_first:
            await eventually(lambda: delivery.problem is None)
            through.refuse()
            through.reset()
        await eventually(lambda: "RabbitMQ" in (delivery.problem or ""))
        assert "guest:guest" not in (delivery.problem or "")
        batch_id = await s.append("eval", 1, last=True)
        await s.finish(batch_id, [0])
        await s.subscribe()
        await through.listen()
        await wait_for_queue(s, 2)
        await eventually(lambda: delivery.problem is None)


@in_a_loop
async def test_during_an_alarm_nothing_more_is_sent_and_afterwards_it_goes_on(
    rabbitmq_node: Node, sqlite_url: str
) -> None:
    memory = "{resource_limit, memory, node()}"
    url = rabbitmq_node.url
    async with scene(url, sqlite_url) as s:
        batch_id = await s.append("eval", 60, last=True)
        await s.subscribe()
        try:
            async with a_delivery(url, s.database, prefix=s.prefix, portion=20) as delivery:
                await eventually(lambda: delivery.problem is None)
                await asyncio.to_thread(rabbitmq_node.control, "eval", f"rabbit_alarm:set_alarm({{{memory}, []}}).")
                await s.finish(batch_id, range(60))
                delivery.wake()
                await eventually(lambda: "alarm" in (delivery.problem or ""), 30)
                looks = s.database.calls[subscriptions.backlog]
                await eventually(lambda: s.database.calls[subscriptions.backlog] >= looks + 5, 30)
                await asyncio.to_thread(rabbitmq_node.control, "eval", f"rabbit_alarm:clear_alarm({memory}).")
                messages = await everything(s, 61)
                await eventually(lambda: delivery.problem is None)
        finally:
            await asyncio.to_thread(rabbitmq_node.control, "eval", f"rabbit_alarm:clear_alarm({memory}).")
        assert seqs(once_each(messages)) == list(range(1, 62))
        # One portion was under way when the server said so; each try after it would have added another
        assert len(messages) <= 61 + 20
