"""The database goes away and comes back: no call starts that nobody could vouch for, and no answer is lost."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from broker.domain.clock import SystemClock
from broker.domain.job import JobKey
from broker.store.claim import Claim, Verdict, claim
from tests.live_engine import MODEL, Scene, running, scene
from workers.spool import orphans
from workers.work import Step, Work

JOBS = 40


class JumpingClock(SystemClock):
    """Runs like any clock, and can be pushed forward."""

    def __init__(self) -> None:
        self._ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self._ahead_s

    def jump(self, seconds: float) -> None:
        self._ahead_s += seconds


@contextmanager
def locked(stage: Scene) -> Iterator[None]:
    """Another process holds the write lock, so that nothing can be committed."""
    intruder = sqlite3.connect(str(stage.database.url.database), isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        intruder.execute("ROLLBACK")
        intruder.close()


def spools(folder: Path) -> list[Path]:
    return [*folder.glob("*.spool/*.spool")]


async def impatient(stage: Scene) -> None:
    await stage.database.write(lambda connection: connection.exec_driver_sql("PRAGMA busy_timeout = 50"))


def test_answers_wait_in_the_spool_while_the_database_is_away_and_no_call_is_repeated(
    sqlite_url: str, tmp_path: Path
) -> None:
    async def check() -> None:
        async with scene(sqlite_url, tmp_path, latency={"first_token_s": 0.1, "sigma": 0.3}) as stage:
            await impatient(stage)
            await stage.submit(JOBS)
            steps: list[Step] = []
            engine = stage.engine(watch=lambda step, _: steps.append(step))
            async with running(engine):
                await stage.until(engine, lambda: steps.count(Step.CALLED) >= 10)
                with locked(stage):
                    await stage.until(engine, lambda: engine.recorder._spooled >= 5)
                    assert len(spools(tmp_path)) == 1
                    # Locked by the process that writes it, so nobody takes it for an orphan.
                    assert [*orphans(tmp_path / "penstock.db.spool")] == []
                await stage.ended(engine)
            judgement = await stage.judged()
            assert (judgement.succeeded, judgement.paid, judgement.attempts) == (JOBS, JOBS, {"ok": JOBS})
            assert spools(tmp_path) == []

    asyncio.run(check())


def test_a_call_that_is_claimed_when_the_life_sign_grows_old_is_not_sent(sqlite_url: str, tmp_path: Path) -> None:
    async def check() -> None:
        async with scene(sqlite_url, tmp_path) as stage:
            clock = JumpingClock()
            claimed: list[str] = []

            def watch(step: Step, work: Work) -> None:
                if step is Step.ACKED and not claimed:
                    clock.jump(16.0)  # as if no heartbeat had been confirmed for so long
                if step is Step.ACKED:
                    claimed.append(work.attempt_id)

            await stage.submit(JOBS)
            await stage.drain(stage.engine(watch=watch, clock=clock))
            judgement = await stage.judged()
            endings = await stage.endings()
            assert (judgement.succeeded, judgement.paid, judgement.extra) == (JOBS, JOBS, 0)
            assert endings["refused", "never_sent"] > 0
            assert endings["refused", "never_sent"] + endings["ok", None] == len(claimed)
            books = await stage.books()
            never_sent = [row for row in books.attempts if row["error_class"] == "never_sent"]
            assert all(row["sent_at"] is None for row in never_sent)

    asyncio.run(check())


def test_an_attempt_that_the_process_does_not_know_is_closed_as_never_sent_and_its_job_goes_on(
    database_url: str, tmp_path: Path
) -> None:
    """The answer to a claim was lost: the database holds the attempt open, and nobody works on it."""

    async def check() -> None:
        async with scene(database_url, tmp_path) as stage:
            await stage.submit(1)
            idle = stage.engine(only=[])  # feeds nothing, so that nobody else claims the job
            worker = idle.workers[0]
            async with running(idle):
                await stage.until(idle, lambda: worker.bench.heartbeat.fresh)
                lost = Claim(key=JobKey(1, 0), attempt_id="att_lost", model=MODEL)
                (answer,) = await stage.database.write(claim, worker.bench.claimant, [lost])
                assert answer.verdict is Verdict.GRANTED
                await worker.close_strangers()
            assert await stage.endings() == {("refused", "never_sent"): 1}
            assert (await stage.books()).due == 1
            await stage.drain(stage.engine())
            judgement = await stage.judged()
            assert (judgement.succeeded, judgement.paid) == (1, 1)
            assert {(row["attempt_id"] == "att_lost", row["state"]) for row in (await stage.books()).attempts} == {
                (True, "refused"),
                (False, "ok"),
            }

    asyncio.run(check())


def test_an_aborted_run_leaves_nothing_open_that_the_next_one_cannot_finish(sqlite_url: str, tmp_path: Path) -> None:
    """A second Ctrl-C, at the moment at which jobs are claimed and none of their calls has begun."""

    async def check() -> None:
        async with scene(sqlite_url, tmp_path, latency={"first_token_s": 0.1, "sigma": 0.3}) as stage:
            await stage.submit(JOBS)
            claimed = asyncio.Event()
            seen: list[str] = []

            def watch(step: Step, work: Work) -> None:
                seen.append(work.job.custom_id)
                if step is Step.CLAIMED:
                    claimed.set()

            first = asyncio.create_task(stage.engine(watch=watch).run())
            await claimed.wait()
            first.cancel()
            await asyncio.wait([first])
            in_flight = len((await stage.books()).attempts)
            await stage.drain(stage.engine())
            judgement = await stage.judged()
            assert judgement.succeeded == JOBS
            assert judgement.extra <= judgement.unknown <= in_flight

    asyncio.run(check())
