"""The recorder lets go of nothing that is not committed."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from broker.domain.report import Report
from broker.store import batches, results, workers
from broker.store.claim import Claimant, claim
from broker.store.engine import open_database
from broker.store.plan import Plan
from broker.store.record import record
from broker.testing.builders import ACCOUNT, PROVIDER, a_batch, a_claim, a_report
from broker.testing.manual_clock import ManualClock
from broker.testing.outages import FragileDatabase, eventually
from workers.recorder import LINGER_S, MOST_PER_FLUSH, MOST_WAITING, Recorder
from workers.recovery import replay_spools
from workers.spool import Spool

CLAIMANT = Claimant(worker_id="w", account=ACCOUNT, provider=PROVIDER)
FIRST_RETRY_S = 0.2


class Rig:
    """A recorder over a batch of which every job has an open attempt."""

    def __init__(self, database: FragileDatabase, batch_id: int, folder: Path) -> None:
        self.database = database
        self.batch_id = batch_id
        self.folder = folder
        self.clock = ManualClock()
        self.spool = Spool(folder, "p")
        self.recorded: list[Report] = []
        self.plans: list[Plan] = []
        self.recorder = Recorder(database, self.spool, self.clock, self._when_recorded)

    def _when_recorded(self, reports: Sequence[Report], plan: Plan) -> None:
        self.recorded.extend(reports)
        self.plans.append(plan)

    def put(self, *positions: int) -> None:
        for position in positions:
            self.recorder.put_nowait(a_report((self.batch_id, position)))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            recorder = tasks.create_task(self.recorder.run())
            yield
            recorder.cancel()

    async def pass_time(self, seconds: float) -> None:
        """Let it go by once somebody is asleep."""
        await eventually(lambda: self.clock.sleepers)
        self.clock.advance(seconds)

    async def drained(self) -> None:
        """Let time pass until all is committed."""
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(self.recorder.drained())
            while not waiting.done():
                self.clock.advance(LINGER_S)
                await asyncio.sleep(0)

    async def order(self) -> list[int]:
        """Positions in the order in which they were committed."""
        return [result.position for result in await self.database.read(results.after, self.batch_id, 0, 10_000)]

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*"))


@asynccontextmanager
async def rigged(url: str, folder: Path, jobs: int) -> AsyncIterator[Rig]:
    database = FragileDatabase(open_database(url))
    try:
        await database.write(workers.register, CLAIMANT.worker_id, ACCOUNT)
        batch_id = await database.write(a_batch, jobs)
        for start in range(0, jobs, 500):
            claims = [a_claim((batch_id, position)) for position in range(start, min(start + 500, jobs))]
            await database.write(claim, CLAIMANT, claims)
        yield Rig(database, batch_id, folder / "spool")
    finally:
        await database.close()


def test_reports_that_come_together_share_a_transaction(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with rigged(sqlite_url, tmp_path, 100) as rig, rig.running():
            rig.put(*range(100))
            await rig.drained()
            assert rig.database.calls[record] == 1
            assert await rig.order() == list(range(100))

    asyncio.run(run())


def test_a_first_report_waits_a_moment_for_company(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with rigged(sqlite_url, tmp_path, 2) as rig, rig.running():
            rig.put(0)
            await eventually(lambda: rig.clock.sleepers)
            rig.put(1)
            await rig.pass_time(LINGER_S)
            await eventually(lambda: len(rig.recorded) == 2)
            assert rig.database.calls[record] == 1

    asyncio.run(run())


def test_a_transaction_holds_so_many_and_no_more(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with rigged(sqlite_url, tmp_path, MOST_PER_FLUSH + 1) as rig, rig.running():
            rig.put(*range(MOST_PER_FLUSH + 1))
            await rig.drained()
            assert [len(plan.results) for plan in rig.plans] == [MOST_PER_FLUSH, 1]

    asyncio.run(run())


def test_the_order_of_arrival_is_the_order_of_commit(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with rigged(sqlite_url, tmp_path, 50) as rig, rig.running():
            for start in (30, 10, 40, 0, 20):
                rig.put(*range(start, start + 10))
                await asyncio.sleep(0)
            await rig.drained()
            assert await rig.order() == [*range(30, 40), *range(10, 20), *range(40, 50), *range(10), *range(20, 30)]
            assert [report.key.position for report in rig.recorded] == await rig.order()

    asyncio.run(run())


def test_while_the_database_is_away_reports_are_in_the_spool_and_then_committed(
    sqlite_url: str, tmp_path: Path
) -> None:
    async def run() -> None:
        async with rigged(sqlite_url, tmp_path, 6) as rig, rig.running():
            rig.database.failing.add(record)
            rig.put(0, 1)
            await rig.pass_time(LINGER_S)
            await eventually(lambda: rig.files() and rig.clock.sleepers)
            rig.put(2, 3)
            await rig.pass_time(FIRST_RETRY_S)
            await eventually(lambda: rig.database.calls[record] == 2 and rig.clock.sleepers)
            assert (rig.folder / "p.spool").read_bytes().count(b"\n") == 4
            assert await rig.order() == []
            rig.database.failing.clear()
            rig.put(4, 5)
            rig.clock.advance(2 * FIRST_RETRY_S)
            await rig.drained()
            assert await rig.order() == list(range(6))
            await eventually(lambda: not rig.files())

    asyncio.run(run())


def test_what_arrives_between_two_tries_is_in_the_spool_at_once(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with rigged(sqlite_url, tmp_path, 4) as rig, rig.running():
            rig.database.failing.add(record)
            rig.put(0, 1)
            await rig.pass_time(LINGER_S)
            await eventually(lambda: rig.files() and rig.clock.sleepers)
            for positions in ((2,), (3,)):
                rig.put(*positions)
                kept = positions[-1] + 1
                await eventually(lambda kept=kept: (rig.folder / "p.spool").read_bytes().count(b"\n") == kept)  # type: ignore[misc]
            assert rig.database.calls[record] == 1
            rig.database.failing.clear()
            await rig.drained()
            assert await rig.order() == list(range(4))

    asyncio.run(run())


def test_a_commit_whose_answer_was_lost_is_not_counted_twice(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with rigged(sqlite_url, tmp_path, 3) as rig, rig.running():
            rig.database.losing.add(record)
            rig.put(0, 1, 2)
            await rig.pass_time(LINGER_S)
            await eventually(lambda: rig.files() and rig.clock.sleepers)
            rig.database.losing.clear()
            rig.clock.advance(FIRST_RETRY_S)
            await rig.drained()
            batch = await rig.database.read(batches.get, rig.batch_id)
            assert (batch.counts.succeeded, batch.usage.input_tokens) == (3, 30)
            assert await rig.order() == [0, 1, 2]

    asyncio.run(run())


def test_it_tries_less_and_less_often(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with rigged(sqlite_url, tmp_path, 1) as rig, rig.running():
            rig.database.failing.add(record)
            rig.put(0)
            await rig.pass_time(LINGER_S)
            for tries, pause_s in enumerate((0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0), 1):
                await eventually(lambda tries=tries: rig.database.calls[record] == tries and rig.clock.sleepers)  # type: ignore[misc]
                rig.clock.advance(pause_s - 0.01)
                await asyncio.sleep(0)
                assert rig.database.calls[record] == tries
                rig.clock.advance(0.02)

    asyncio.run(run())


def test_a_spool_that_cannot_be_written_stops_nothing(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with rigged(sqlite_url, tmp_path, 2) as rig, rig.running():
            rig.folder.write_text("in the way")
            rig.database.failing.add(record)
            rig.put(0, 1)
            await rig.pass_time(LINGER_S)
            await eventually(lambda: rig.database.calls[record] == 1 and rig.clock.sleepers)
            rig.database.failing.clear()
            rig.clock.advance(FIRST_RETRY_S)
            await rig.drained()
            assert await rig.order() == [0, 1]

    asyncio.run(run())


def test_putting_waits_while_too_much_is_not_committed(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with rigged(sqlite_url, tmp_path, MOST_WAITING) as rig, asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            rig.put(*range(MOST_WAITING - 2))
            await rig.recorder.put(a_report((rig.batch_id, MOST_WAITING - 2)))
            last = tasks.create_task(rig.recorder.put(a_report((rig.batch_id, MOST_WAITING - 1))))
            await asyncio.sleep(0)
            assert not last.done()
            assert len(rig.recorder) == MOST_WAITING
            async with rig.running():
                await rig.drained()
                await last
            assert len(await rig.order()) == MOST_WAITING

    asyncio.run(run())


def test_who_gives_up_waiting_has_handed_over_all_the_same(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with rigged(sqlite_url, tmp_path, MOST_WAITING) as rig, asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            rig.put(*range(MOST_WAITING - 1))
            last = tasks.create_task(rig.recorder.put(a_report((rig.batch_id, MOST_WAITING - 1))))
            await asyncio.sleep(0)
            last.cancel()
            async with rig.running():
                await rig.drained()
            assert len(await rig.order()) == MOST_WAITING

    asyncio.run(run())


def test_drained_waits_for_the_last_commit(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with rigged(sqlite_url, tmp_path, 2) as rig, rig.running(), asyncio.TaskGroup() as tasks:
            await rig.recorder.drained()
            rig.put(0)
            waiting = tasks.create_task(rig.recorder.drained())
            await eventually(lambda: rig.clock.sleepers)
            assert not waiting.done()
            rig.put(1)
            rig.clock.advance(LINGER_S)
            await waiting
            assert await rig.order() == [0, 1]

    asyncio.run(run())


@pytest.mark.parametrize("late", [0, 2])
def test_stopped_while_the_database_is_away_it_leaves_everything_in_the_spool(
    sqlite_url: str, tmp_path: Path, late: int
) -> None:
    async def run() -> None:
        async with rigged(sqlite_url, tmp_path, 4) as rig:
            rig.database.failing.add(record)
            async with rig.running():
                rig.put(0, 1)
                await rig.pass_time(LINGER_S)
                await eventually(lambda: rig.files() and rig.clock.sleepers)
                rig.put(*range(2, 2 + late))  # after the last time that the spool was written
            rig.database.failing.clear()
            assert await replay_spools(rig.database, rig.folder) == 2 + late
            assert await rig.order() == list(range(2 + late))
            assert rig.files() == []

    asyncio.run(run())


def test_stopped_before_its_first_try_it_leaves_everything_in_the_spool(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with rigged(sqlite_url, tmp_path, 3) as rig:
            async with rig.running():
                rig.put(0, 1, 2)
                await eventually(lambda: rig.clock.sleepers)
            assert await replay_spools(rig.database, rig.folder) == 3
            assert await rig.order() == [0, 1, 2]

    asyncio.run(run())


def test_stopped_during_a_commit_it_loses_and_doubles_nothing(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with rigged(sqlite_url, tmp_path, 3) as rig:
            begun, go_on = threading.Event(), threading.Event()

            def slow(_: object) -> None:
                begun.set()
                go_on.wait(30)

            async with rig.running():
                busy = asyncio.create_task(rig.database.write(slow))
                await eventually(begun.is_set)
                rig.put(0, 1, 2)
                await rig.pass_time(LINGER_S)
                await eventually(lambda: rig.database.calls[record])
            go_on.set()
            await busy
            await replay_spools(rig.database, rig.folder)
            batch = await rig.database.read(batches.get, rig.batch_id)
            assert (batch.counts.succeeded, batch.usage.input_tokens) == (3, 30)
            assert rig.files() == []

    asyncio.run(run())


def test_a_defect_in_recording_leaves_everything_in_the_spool(sqlite_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with rigged(sqlite_url, tmp_path, 2) as rig:

            def broken(operation: Callable[..., Any]) -> None:
                if operation is record:
                    raise ArithmeticError

            rig.database.before = broken
            rig.put(0, 1)
            async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
                running = tasks.create_task(_until_broken(rig.recorder))
                await rig.pass_time(LINGER_S)
                await running
            rig.database.before = lambda _: None
            assert await replay_spools(rig.database, rig.folder) == 2
            assert await rig.order() == [0, 1]

    asyncio.run(run())


async def _until_broken(recorder: Recorder) -> None:
    with pytest.raises(ArithmeticError):
        await recorder.run()
