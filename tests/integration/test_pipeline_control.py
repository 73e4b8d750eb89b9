"""Cancel and pause in the middle of a run: what the provider sees of them."""

import asyncio
from pathlib import Path

from broker.domain.batch import BatchState
from broker.store import batches
from broker.testing.judge import Row
from tests.live_engine import Scene, running, scene

JOBS = 120
ENOUGH = 20
LATENCY = {"first_token_s": 0.05, "sigma": 0.4}


async def move(stage: Scene, to: BatchState) -> tuple[frozenset[str], float]:
    """Move the batch; returns the attempts that were claimed by then, and the provider's time."""
    await stage.database.write(batches.move, 1, to)
    at = stage.sim._books.now()
    return frozenset(row["attempt_id"] for row in (await stage.books()).attempts), at


def started_after(stage: Scene, at: float) -> list[Row]:
    return [call for call in stage.paid() if call["started_at"] > at]


def test_after_a_cancel_no_call_starts_that_was_not_claimed_before_it(database_url: str, tmp_path: Path) -> None:
    async def check() -> None:
        async with scene(database_url, tmp_path, latency=LATENCY) as stage:
            await stage.submit(JOBS)
            committed: list[int] = []
            engine = stage.engine(committed=lambda plan: committed.extend(row["position"] for row in plan.results))
            async with running(engine):
                await stage.until(engine, lambda: len(committed) >= ENOUGH)
                kept = list(committed)
                claimed, at = await move(stage, BatchState.CANCELLING)
                await stage.ended(engine)
            judgement = await stage.judged()
            books = await stage.books()
            assert {row["attempt_id"] for row in books.attempts} == claimed
            assert {call["client_request_id"] for call in started_after(stage, at)} <= claimed
            assert books.batch["state"] == BatchState.CANCELLED
            states = {row["position"]: row["state"] for row in books.results}
            assert all(states[position] == "succeeded" for position in kept)
            assert judgement.succeeded == judgement.paid == len(claimed) < JOBS
            assert books.batch["cancelled"] == JOBS - judgement.succeeded

    asyncio.run(check())


def test_a_paused_batch_makes_no_calls_and_a_resumed_one_loses_and_repeats_none(
    database_url: str, tmp_path: Path
) -> None:
    async def check() -> None:
        async with scene(database_url, tmp_path, latency=LATENCY) as stage:
            await stage.submit(JOBS)
            committed: list[int] = []
            engine = stage.engine(committed=lambda plan: committed.extend(row["position"] for row in plan.results))
            async with running(engine):
                await stage.until(engine, lambda: len(committed) >= ENOUGH)
                claimed, at = await move(stage, BatchState.PAUSED)
                await stage.until(engine, lambda: len(committed) == len(claimed))
                # All that was claimed has ended, and whoever was to claim more has been told to wait.
                await stage.until(engine, lambda: not any(worker.bench.open for worker in engine.workers))
                assert {call["client_request_id"] for call in started_after(stage, at)} <= claimed
                assert len(stage.sim.ledger) == len(claimed) < JOBS
                await stage.database.write(batches.move, 1, BatchState.RUNNING)
                engine.feeder.wake()
                await stage.ended(engine)
            judgement = await stage.judged()
            assert (judgement.succeeded, judgement.paid, judgement.extra) == (JOBS, JOBS, 0)

    asyncio.run(check())
