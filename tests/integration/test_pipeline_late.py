"""Answers of calls that were given up already: taken where the job has no result yet, else booked and dropped."""

import asyncio
from pathlib import Path
from typing import Any

from broker.store import workers as store
from tests.live_engine import Scene, running, scene
from workers.provider_sim.fault_kinds import FaultKind
from workers.work import Step, Work

JOBS = 5


async def given_up_in_flight(stage: Scene) -> None:
    """Run a batch whose first calls are declared dead while they are on their way."""
    await stage.submit(JOBS)
    called: set[str] = set()

    def watch(step: Step, work: Work) -> None:
        if step is Step.CALLED:
            called.add(work.job.custom_id)

    engine = stage.engine(watch=watch)
    async with running(engine):
        await stage.until(engine, lambda: len(called) == JOBS)
        assert await stage.database.write(store.reap, [engine.workers[0].bench.claimant.worker_id]) == JOBS
        assert await stage.endings() == {("unknown", "lost"): JOBS}
        engine.feeder.wake()
        await stage.ended(engine)


async def numbers_and_states(stage: Scene) -> set[tuple[int, str]]:
    return {(row["number"], row["state"]) for row in (await stage.books()).attempts}


def test_a_late_answer_is_the_result_when_there_is_none_and_the_next_one_is_discarded(
    database_url: str, tmp_path: Path
) -> None:
    async def check() -> None:
        async with scene(database_url, tmp_path, latency={"first_token_s": 1.0}) as stage:
            await given_up_in_flight(stage)
            judgement = await stage.judged()
            assert (judgement.succeeded, judgement.extra) == (JOBS, JOBS)
            assert await numbers_and_states(stage) == {(1, "ok"), (2, "discarded")}
            books = await stage.books()
            assert {row["attempts"] for row in books.results} == {1}
            assert all(row["usage_source"] == "reported" for row in books.attempts)

    asyncio.run(check())


def test_a_late_answer_is_discarded_with_its_usage_kept_when_there_is_a_result(
    database_url: str, tmp_path: Path
) -> None:
    """The first call of each job drips for some two seconds, the second one answers at once."""

    async def check() -> None:
        faults: dict[str, Any] = {
            "probability": {FaultKind.SLOW_DRIP: 1.0},
            "at_most_per_request": {FaultKind.SLOW_DRIP: 1},
            "drip_interval_s": 0.004,
        }
        async with scene(database_url, tmp_path, faults=faults) as stage:
            await given_up_in_flight(stage)
            judgement = await stage.judged()
            assert (judgement.succeeded, judgement.extra) == (JOBS, JOBS)
            assert await numbers_and_states(stage) == {(1, "discarded"), (2, "ok")}
            books = await stage.books()
            assert {row["attempts"] for row in books.results} == {2}
            assert all(row["usage_source"] == "reported" for row in books.attempts)

    asyncio.run(check())
