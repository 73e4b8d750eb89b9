"""One worker: its registration, its strangers, its goodbye."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from sqlalchemy import Connection, select

from broker.domain.attempt import AttemptState, ErrorClass
from broker.domain.job import JobKey
from broker.store import due
from broker.store import workers as store
from broker.store.claim import claim
from broker.store.record import record
from broker.store.tables import attempts
from broker.store.tables import workers as workers_table
from broker.testing.builders import ACCOUNT, a_batch, a_claim
from broker.testing.outages import FragileDatabase, eventually
from broker.wiring.embedded import Engine
from tests.engines import a_chat_batch, a_provider, an_account, an_engine, at_work, ended, opened
from workers.work import Work
from workers.worker import Worker

UNDER_WORK = cast("Work", object())
"""What the process knows of a call: here only that it knows it."""


class Rig:
    """A registered worker of an engine that does not run, but for its recorder."""

    def __init__(self, database: FragileDatabase, engine: Engine, batch_id: int) -> None:
        self.database = database
        self.engine = engine
        self.batch_id = batch_id

    @property
    def worker(self) -> Worker:
        return self.engine.workers[0]

    async def claimed(self, position: int = 0, attempt_id: str = "att") -> None:
        await self.database.write(
            claim, self.worker.bench.claimant, [a_claim((self.batch_id, position), attempt_id=attempt_id)]
        )

    async def states(self) -> dict[str, tuple[str, str | None]]:
        return await self.database.read(_states)


def _states(connection: Connection) -> dict[str, tuple[str, str | None]]:
    return {row.attempt_id: (row.state, row.error_class) for row in connection.execute(select(attempts))}


def stopped(connection: Connection) -> dict[str, bool]:
    return {row.account: row.stopped_at is not None for row in connection.execute(select(workers_table))}


@asynccontextmanager
async def rigged(url: str) -> AsyncIterator[Rig]:
    async with opened(url) as database:
        batch_id = await database.write(a_batch, 3)
        rig = Rig(database, an_engine(database, an_account()), batch_id)
        async with rig.worker.bench.calls, asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            await rig.worker.bench.heartbeat.register()
            recording = tasks.create_task(rig.engine.recorder.run())
            yield rig
            recording.cancel()


NEVER_SENT = (AttemptState.REFUSED, ErrorClass.NEVER_SENT)
OPEN = (AttemptState.OPEN, None)


def test_an_attempt_that_the_process_does_not_know_was_never_sent(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as rig:
            await rig.claimed()
            await rig.worker.close_strangers()
            await rig.engine.recorder.drained()
            assert await rig.states() == {"att": NEVER_SENT}
            assert await rig.database.write(due.take_due, [rig.batch_id], 10) == [JobKey(rig.batch_id, 0)]

    asyncio.run(run())


def test_an_attempt_that_the_process_knows_is_never_closed(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as rig:
            await rig.claimed(0, "known")
            await rig.claimed(1, "strange")
            rig.worker.bench.open["known"] = UNDER_WORK
            await rig.worker.close_strangers()
            await rig.engine.recorder.drained()
            assert await rig.states() == {"known": OPEN, "strange": NEVER_SENT}

    asyncio.run(run())


def test_a_call_that_is_reported_during_the_look_is_no_stranger(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as rig:
            await rig.claimed()
            rig.worker.bench.open["att"] = UNDER_WORK

            def reported(operation: object) -> None:
                if operation is store.open_attempts:
                    del rig.worker.bench.open["att"]

            rig.database.before = reported
            await rig.worker.close_strangers()
            assert not len(rig.engine.recorder)

    asyncio.run(run())


def test_a_call_that_is_claimed_during_the_look_is_no_stranger(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as rig:
            await rig.claimed()

            def known_now(operation: object) -> None:
                if operation is store.open_attempts:
                    rig.worker.bench.open["att"] = UNDER_WORK

            rig.database.before = known_now
            await rig.worker.close_strangers()
            assert not len(rig.engine.recorder)

    asyncio.run(run())


def test_attempts_of_others_are_left_alone(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as rig:
            await rig.database.write(store.register, "another", ACCOUNT)
            claimant = type(rig.worker.bench.claimant)(worker_id="another", account=ACCOUNT, provider="vllm")
            await rig.database.write(claim, claimant, [a_claim((rig.batch_id, 0), attempt_id="theirs")])
            await rig.worker.close_strangers()
            assert await rig.states() == {"theirs": OPEN}
            assert not len(rig.engine.recorder)

    asyncio.run(run())


def test_a_look_that_fails_closes_nothing(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as rig:
            await rig.claimed()
            rig.database.failing.add(store.open_attempts)
            await rig.worker.close_strangers()
            assert not len(rig.engine.recorder)

    asyncio.run(run())


def test_strangers_do_not_wait_for_room_with_the_recorder(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as rig:
            await rig.claimed()
            rig.database.failing.add(record)
            rig.engine.recorder._room.clear()
            async with asyncio.timeout(5):
                await rig.worker.close_strangers()

    asyncio.run(run())


def test_the_goodbye_comes_after_everything_is_recorded(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as rig:
            await rig.claimed()
            left_open: list[bool] = []

            def noted(operation: object) -> None:
                if operation is store.stop:
                    left_open.append(bool(rig.database.calls[record] == 0))

            rig.database.before = noted
            await rig.worker.goodbye()
            assert left_open == [False]
            assert await rig.states() == {"att": NEVER_SENT}
            assert await rig.database.read(stopped) == {ACCOUNT: True}

    asyncio.run(run())


def test_a_goodbye_that_the_database_does_not_take_is_no_error(sqlite_url: str) -> None:
    async def run() -> None:
        async with rigged(sqlite_url) as rig:
            rig.database.failing.add(store.stop)
            await rig.worker.goodbye()
            assert await rig.database.read(stopped) == {ACCOUNT: False}

    asyncio.run(run())


def test_a_worker_that_cannot_register_starts_nothing_until_it_can(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, ["hello"])
            engine = an_engine(database, an_account(provider.base_url))
            database.failing.add(store.register)
            async with at_work(engine):
                await eventually(lambda: database.calls[store.register] >= 2)
                assert provider.asked == []
                database.failing.clear()
                await ended(engine, batch_id)
            assert len(provider.asked) == 1

    asyncio.run(run())


def test_a_worker_registers_works_and_says_goodbye(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, ["hello"])
            engine = an_engine(database, an_account(provider.base_url))
            async with at_work(engine):
                await eventually(lambda: database.calls[store.register])
                await ended(engine, batch_id)
            assert await database.read(stopped) == {ACCOUNT: True}

    asyncio.run(run())


def test_one_that_the_database_does_not_know_yet_ends_when_it_is_stopped(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            worker = an_engine(database, an_account()).workers[0]
            database.failing.add(store.register)
            async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
                running = tasks.create_task(worker.run())
                await eventually(lambda: database.calls[store.register])
                worker.stop()
                await running
            assert await database.read(stopped) == {}

    asyncio.run(run())
