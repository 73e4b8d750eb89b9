"""Submissions over AMQP while something is away: nothing is lost, and nothing is accepted twice."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import pytest
from sqlalchemy import Connection, select
from yarl import URL

from broker.domain.clock import SystemClock
from broker.errors import StoreRefused
from broker.intake.amqp.intake import AmqpIntake
from broker.store import submissions as submissions_store
from broker.store.engine import open_database
from broker.store.tables import batches, quarantine, submissions
from broker.testing.outages import FragileDatabase, eventually
from broker.testing.tcp_proxy import TcpProxy, proxy
from broker.transport.rabbitmq.topology import QUEUE_ARGUMENTS
from tests.amqp_rig import Producer, a_prefix, a_producer, an_intake, becomes, cleaned, in_a_loop, jobs
from tests.rabbit_rig import QUICK, a_channel, delete, depth
from tests.servers.rabbitmq import Node


@asynccontextmanager
async def fragile(url: str) -> AsyncIterator[FragileDatabase]:
    database = FragileDatabase(open_database(url))
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def cuttable(url: str) -> AsyncIterator[TcpProxy]:
    """Give a proxy in front of the server of this URL."""
    parsed = URL(url)
    async with proxy(parsed.host or "", parsed.port or 5672) as made:
        yield made


def rows(connection: Connection, table: Any) -> list[Any]:
    return list(connection.execute(select(table)).all())


async def accepted(producer: Producer, messages: int) -> list[int]:
    """First positions of the next replies."""
    return sorted([(await producer.reply())["accepted"]["first_position"] for _ in range(messages)])


@in_a_loop
async def test_while_the_database_is_away_messages_wait_and_nothing_is_refused(
    rabbitmq_url: str, database_url: str
) -> None:
    async with (
        fragile(database_url) as database,
        cleaned(rabbitmq_url, a_prefix()) as prefix,
        an_intake(rabbitmq_url, database, prefix=prefix, prefetch=3) as intake,
        a_producer(rabbitmq_url, prefix) as producer,
    ):
        database.down = True
        for number in range(8):
            await producer.publish(jobs(f"job-{number}"))
        await eventually(lambda: database.calls[submissions_store.append] >= 9)  # each in hand was tried again
        assert intake.problem is not None
        assert "database" in intake.problem
        # No more than the prefetch count is out of the queue
        assert await depth(rabbitmq_url, f"{prefix}penstock.submit") == 5
        assert producer.replies.empty()
        database.down = False
        assert await accepted(producer, 8) == list(range(8))
        assert intake.problem is None
        assert await database.read(rows, quarantine) == []


@in_a_loop
async def test_an_answer_of_the_database_that_was_lost_does_not_accept_twice(
    rabbitmq_url: str, database_url: str
) -> None:
    async with (
        fragile(database_url) as database,
        cleaned(rabbitmq_url, a_prefix()) as prefix,
        an_intake(rabbitmq_url, database, prefix=prefix),
        a_producer(rabbitmq_url, prefix) as producer,
    ):
        database.losing = {submissions_store.append}
        await producer.publish(jobs("a", "b"))
        await eventually(lambda: database.calls[submissions_store.append] >= 3)
        database.losing = set()
        assert await accepted(producer, 1) == [0]
        (batch,) = await database.read(rows, batches)
        assert batch.total == 2


@in_a_loop
async def test_a_connection_that_is_cut_between_commit_and_ack_accepts_once(
    rabbitmq_url: str, database_url: str
) -> None:
    """The reply is cut off as well; the message comes again and gets it."""
    cuts = 0

    def cut() -> None:
        nonlocal cuts
        cuts += 1
        if cuts <= 3:
            through.reset()

    async with (
        fragile(database_url) as database,
        cleaned(rabbitmq_url, a_prefix()) as prefix,
        cuttable(rabbitmq_url) as through,
        an_intake(rabbitmq_url, database, prefix=prefix, on_accepted=cut, through=through) as intake,
        a_producer(rabbitmq_url, prefix) as producer,
    ):
        await producer.publish(jobs("a"), message_id="m1")
        reply = await producer.reply()
        await eventually(lambda: cuts >= 4)  # it came again after each cut
        (batch,) = await database.read(rows, batches)
        assert (batch.total, reply["accepted"]["first_position"]) == (1, 0)
        assert len(await database.read(rows, submissions)) == 1
        await emptied(rabbitmq_url, prefix)
        await eventually(lambda: intake.problem is None)


async def emptied(url: str, prefix: str) -> None:
    """Wait until a fresh look finds nothing in the queue and nothing unacked: then it can be consumed exclusively."""

    async def empty() -> bool:
        return await depth(url, f"{prefix}penstock.submit") == 0

    await becomes(empty)


@in_a_loop
async def test_a_server_that_is_not_there_at_first_is_waited_for(rabbitmq_url: str, sqlite_url: str) -> None:
    parsed = URL(rabbitmq_url)
    async with (
        fragile(sqlite_url) as database,
        cleaned(rabbitmq_url, a_prefix()) as prefix,
        proxy(parsed.host or "", parsed.port or 5672, listening=False) as through,
        asyncio.TaskGroup() as tasks,
    ):
        starting = an_intake(rabbitmq_url, database, prefix=prefix, through=through)
        entering = tasks.create_task(starting.__aenter__())
        await asyncio.sleep(0)
        await through.listen()
        intake = await entering
        assert intake.problem is None
        async with a_producer(rabbitmq_url, prefix) as producer:
            assert "accepted" in await producer.submit(jobs("a"))
        await starting.__aexit__(None, None, None)


@in_a_loop
async def test_a_deleted_queue_is_made_and_consumed_again(rabbitmq_url: str, sqlite_url: str) -> None:
    async with (
        fragile(sqlite_url) as database,
        cleaned(rabbitmq_url, a_prefix()) as prefix,
        an_intake(rabbitmq_url, database, prefix=prefix) as intake,
        a_producer(rabbitmq_url, prefix) as producer,
    ):
        await delete(rabbitmq_url, f"{prefix}penstock.submit")
        await eventually(lambda: intake.problem is not None)
        await eventually(lambda: intake.problem is None)
        assert "accepted" in await producer.submit(jobs("a"))


@in_a_loop
async def test_a_queue_that_was_made_differently_is_named_with_the_argument(rabbitmq_url: str, sqlite_url: str) -> None:
    async with fragile(sqlite_url) as database, cleaned(rabbitmq_url, a_prefix()) as prefix:
        async with a_channel(rabbitmq_url) as channel:
            await channel.declare_queue(
                f"{prefix}penstock.submit", durable=True, arguments={**QUEUE_ARGUMENTS, "x-delivery-limit": 3}
            )
        intake = AmqpIntake(
            rabbitmq_url,
            database,
            projects={},
            routes=frozenset(),
            clock=SystemClock(),
            random=random.random,
            prefix=prefix,
            timings=QUICK,
        )
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(intake.run())
            await eventually(lambda: "x-delivery-limit" in (intake.problem or ""))
            await delete(rabbitmq_url, f"{prefix}penstock.submit")  # as the message says
            await eventually(lambda: intake.problem is None)
            running.cancel()


@in_a_loop
async def test_a_server_that_falls_silent_is_given_up_and_connected_to_again(
    rabbitmq_url: str, sqlite_url: str
) -> None:
    async with (
        fragile(sqlite_url) as database,
        cleaned(rabbitmq_url, a_prefix()) as prefix,
        cuttable(rabbitmq_url) as through,
        an_intake(rabbitmq_url, database, prefix=prefix, through=through),
        a_producer(rabbitmq_url, prefix) as producer,
    ):
        before = through.connections
        through.black_hole()
        await producer.publish(jobs("a"))
        await eventually(lambda: through.connections > before)
        through.heal()
        assert "accepted" in await producer.reply()


@in_a_loop
async def test_values_that_the_database_will_never_take_are_put_aside(rabbitmq_url: str, sqlite_url: str) -> None:
    def refuse(operation: object) -> None:
        if operation is submissions_store.append:
            raise StoreRefused("no such value")

    async with (
        fragile(sqlite_url) as database,
        cleaned(rabbitmq_url, a_prefix()) as prefix,
        an_intake(rabbitmq_url, database, prefix=prefix, prefetch=1),
        a_producer(rabbitmq_url, prefix) as producer,
    ):
        database.before = refuse
        await producer.publish(jobs("a"))

        async def noted() -> list[Any]:
            return await database.read(rows, quarantine)

        await becomes(noted)
        assert [row.code for row in await noted()] == ["database_refused"]


@in_a_loop
async def test_a_defect_of_ours_holds_no_message_for_good(
    rabbitmq_url: str, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(operation: object) -> None:
        if operation is submissions_store.append:
            raise ZeroDivisionError("canary-7c1")

    async with (
        fragile(sqlite_url) as database,
        cleaned(rabbitmq_url, a_prefix()) as prefix,
        an_intake(rabbitmq_url, database, prefix=prefix, prefetch=1),
        a_producer(rabbitmq_url, prefix) as producer,
    ):
        database.before = break_down
        await producer.publish(jobs("a"))

        async def noted() -> list[Any]:
            return await database.read(rows, quarantine)

        await becomes(noted)
        assert [row.code for row in await noted()] == ["defect"]
        assert "ZeroDivisionError" in caplog.text
        assert "canary-7c1" not in caplog.text
        database.before = lambda _: None
        assert "accepted" in await producer.submit(jobs("b"))


@in_a_loop
async def test_what_is_in_hand_at_the_end_is_committed_answered_and_acked(rabbitmq_url: str, sqlite_url: str) -> None:
    async with (
        fragile(sqlite_url) as database,
        cleaned(rabbitmq_url, a_prefix()) as prefix,
        a_producer(rabbitmq_url, prefix) as producer,
    ):
        async with an_intake(rabbitmq_url, database, prefix=prefix, prefetch=2):
            database.failing = {submissions_store.append}
            for name in ("a", "b"):
                await producer.publish(jobs(name))
            await eventually(lambda: database.calls[submissions_store.append] >= 2)
            database.failing = set()
        assert await accepted(producer, 2) == [0, 1]
        assert await depth(rabbitmq_url, f"{prefix}penstock.submit") == 0


@in_a_loop
async def test_an_end_during_an_outage_of_the_database_leaves_the_messages_in_the_queue(
    rabbitmq_url: str, sqlite_url: str
) -> None:
    async with (
        fragile(sqlite_url) as database,
        cleaned(rabbitmq_url, a_prefix()) as prefix,
        a_producer(rabbitmq_url, prefix) as producer,
    ):
        async with an_intake(rabbitmq_url, database, prefix=prefix, prefetch=2):
            database.down = True
            for name in ("a", "b", "c"):
                await producer.publish(jobs(name))
            await eventually(lambda: database.calls[submissions_store.append] >= 2)
        database.down = False
        async with an_intake(rabbitmq_url, database, prefix=prefix):
            assert await accepted(producer, 3) == [0, 1, 2]


@in_a_loop
async def test_two_projects_cannot_see_name_or_swallow_anything_of_each_other(
    rabbitmq_node: Node, sqlite_url: str
) -> None:
    prefix = a_prefix()
    urls = {}
    for user in ("anna", "boris"):
        rabbitmq_node.control("add_user", user, "secret")
        # As docs/explanation/amqp.md has it
        own, submit = "^amq\\.gen.*$", f"^{prefix}penstock\\.submit$"
        read = f"^({prefix}penstock\\.results\\.{user}\\..*|amq\\.gen.*)$"
        rabbitmq_node.control("set_permissions", user, own, submit, read)
        urls[user] = str(URL(rabbitmq_node.url).with_user(user).with_password("secret"))
    projects = {"anna": "anna", "boris": "boris"}
    async with (
        fragile(sqlite_url) as database,
        cleaned(rabbitmq_node.url, prefix),
        an_intake(rabbitmq_node.url, database, prefix=prefix, projects=projects),
        a_producer(urls["anna"], prefix) as anna,
        a_producer(urls["boris"], prefix) as boris,
    ):
        first = await anna.submit(jobs("a", batch="eval"), message_id="m1")
        second = await boris.submit(jobs("b", batch="eval"), message_id="m1")
        assert first["accepted"]["batch_id"] != second["accepted"]["batch_id"]
        assert second["accepted"]["first_position"] == 0
        await boris.submit({"version": 1, "kind": "seal", "batch": "eval"})
        assert "accepted" in await anna.submit(jobs("c", batch="eval"))
        reply = await boris.submit({"version": 1, "kind": "subscribe", "name": "n", "batch": "hers"})
        assert reply["error"]["code"] == "not_found"
        await anna.submit(jobs("d", batch="hers"))
        reply = await boris.submit({"version": 1, "kind": "subscribe", "name": "n2", "batch": "hers"})
        assert reply["error"]["code"] == "not_found"
        subscription = {"version": 1, "kind": "subscribe", "name": "n"}
        mine = (await boris.submit(subscription))["accepted"]["queue"]
        hers = (await anna.submit(subscription))["accepted"]["queue"]
        assert mine != hers
        with pytest.raises(aio_pika.exceptions.AMQPError):  # RabbitMQ vouches for the name
            await boris.publish(jobs("x"), user_id="anna")
    async with a_channel(rabbitmq_node.url) as channel:
        for queue in (mine, hers):
            await channel.declare_queue(queue, durable=True)
    async with a_channel(urls["boris"]) as channel:
        await (await channel.get_queue(mine, ensure=False)).get(fail=False)
        with pytest.raises(aio_pika.exceptions.AMQPError, match="ACCESS_REFUSED"):
            await (await channel.get_queue(hers, ensure=False)).get(fail=False)


@in_a_loop
async def test_a_server_that_was_stopped_and_started_is_consumed_again(rabbitmq_node: Node, sqlite_url: str) -> None:
    async with (
        fragile(sqlite_url) as database,
        cleaned(rabbitmq_node.url, a_prefix()) as prefix,
        an_intake(rabbitmq_node.url, database, prefix=prefix) as intake,
    ):
        async with a_producer(rabbitmq_node.url, prefix) as producer:
            assert "accepted" in await producer.submit(jobs("a"))
        await asyncio.to_thread(rabbitmq_node.control, "stop_app")
        await eventually(lambda: intake.problem is not None)
        await asyncio.to_thread(rabbitmq_node.control, "start_app")
        await eventually(lambda: intake.problem is None, 30)
        async with a_producer(rabbitmq_node.url, prefix) as producer:
            assert (await producer.submit(jobs("b")))["accepted"]["first_position"] == 1


def connecting() -> int:
    """Tasks of the library that would make a connection again."""
    names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
    return names.count("RobustConnection.__connection_factory")


@in_a_loop
async def test_lost_connections_leave_no_task_behind(rabbitmq_url: str, sqlite_url: str) -> None:
    async with (
        fragile(sqlite_url) as database,
        cleaned(rabbitmq_url, a_prefix()) as prefix,
        cuttable(rabbitmq_url) as through,
    ):
        async with an_intake(rabbitmq_url, database, prefix=prefix, through=through) as intake:
            assert connecting() == 2
            for _ in range(3):
                through.reset()
                await eventually(lambda: intake.problem is not None)
                await eventually(lambda: intake.problem is None)
            await eventually(lambda: connecting() == 2)
            through.black_hole()  # nobody answers the farewell
        await eventually(lambda: connecting() == 0)


@in_a_loop
async def test_a_quarantine_that_was_deleted_is_made_again(rabbitmq_url: str, sqlite_url: str) -> None:
    async with (
        fragile(sqlite_url) as database,
        cleaned(rabbitmq_url, a_prefix()) as prefix,
        an_intake(rabbitmq_url, database, prefix=prefix),
        a_producer(rabbitmq_url, prefix) as producer,
    ):
        for number in (1, 2):
            await producer.publish(b"no submission", reply_to=None)

            async def noted(number: int = number) -> bool:
                return len(await database.read(rows, quarantine)) == number

            await becomes(noted)
            assert await depth(rabbitmq_url, f"{prefix}penstock.quarantine") == 1
            await delete(rabbitmq_url, f"{prefix}penstock.quarantine")
