"""A small batch beside a big one, through the whole engine: how many rows of the big one go before its last."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from broker.domain.account import Limits
from broker.feeder.fair_share import NO_BONUS, StartBonus
from broker.store.plan import Plan
from tests.live_engine import running, scene

BIG, SMALL = 20_000, 200
PER_SECOND = 100
"""A fifth of a second of it is in the window, in front of any newcomer: a tenth of the small batch's time alone."""
UNDER_WAY = 50
"""Rows of the big batch that are finished when the small one arrives."""


@pytest.mark.parametrize(("bonus", "most"), [(NO_BONUS, 2.2), (StartBonus(), 1.5)], ids=["equal-weight", "start-bonus"])
def test_a_small_batch_beside_a_big_one_is_back_within_a_known_multiple_of_its_time_alone(
    bonus: StartBonus, most: float, sqlite_url: str, tmp_path: Path
) -> None:
    """Time is counted in rows: the account finishes them at one rate, whoever they belong to."""

    async def check() -> None:
        limits = Limits(requests_per_minute=60 * PER_SECOND)
        async with scene(sqlite_url, tmp_path, account={"limits": limits, "worker_concurrency": 64}) as stage:
            finished: Counter[int] = Counter()
            ended = asyncio.Event()

            def committed(plan: Plan) -> None:
                if not ended.is_set():
                    finished.update(row["batch_id"] for row in plan.results)
                if finished[small] == SMALL:
                    ended.set()

            small = 0
            big = await stage.submit(BIG, name="big")
            engine = stage.engine(bonus=bonus, committed=committed)
            async with running(engine):
                await stage.until(engine, lambda: finished[big] >= UNDER_WAY)
                small = await stage.submit(SMALL, name="small")
                engine.feeder.wake()  # as any intake in the same process does
                before = finished[big]
                async with asyncio.timeout(30):
                    await ended.wait()
            rows = SMALL + finished[big] - before
            assert rows / SMALL <= most, f"{rows} rows until the last of {SMALL}"

    asyncio.run(check())
