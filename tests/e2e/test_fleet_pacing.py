"""How several processes keep to the limits of accounts together, in real processes on real servers.

Counted, not timed: what the provider refused, how many calls it saw at once, and who started the last ones. The figures
themselves are those of benchmarks/fleet_pacing.py.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from broker.testing.judge import Row, judge
from broker.testing.simulator import Simulator, simulator
from tests.chaos.installation import Installation, Pool
from tests.e2e.command_line import until
from tests.servers.redis_server import PrivateRedis
from tests.shared_fleet import ROLES, fleet_on

WITHIN_S = 120.0
FEW = 10
"""Refusals: what a machine that is held up now and then may cost. Without any accord it would be hundreds."""

Start = Callable[..., AbstractContextManager[tuple[Installation, Simulator]]]


@pytest.fixture
def start(
    tmp_path: Path, postgres_server: dict[str, str], rabbitmq_url: str, redis_url: str
) -> Callable[..., AbstractContextManager[tuple[Installation, Simulator]]]:
    """Give a function that starts a fleet which serves, with its provider, for as long as a block runs."""

    @contextmanager
    def started(config: str, *pools: Pool, redis: str = redis_url) -> Iterator[tuple[Installation, Simulator]]:
        server = postgres_server["server"]
        with (
            simulator(tmp_path, config) as sim,
            fleet_on(tmp_path, sim, pools, postgres=server, rabbitmq=rabbitmq_url, redis_url=redis) as fleet,
        ):
            fleet.serve(1, *ROLES)
            yield fleet, sim

    return started


def limited(name: str, per_minute: int, *, workers: int = 1) -> tuple[str, Pool]:
    """An account, as its provider knows it, who counts by the second, and as the fleet does."""
    key = f'[[keys]]\nname = "{name}"\nwindow_s = 1.0\nrequests_per_minute = {per_minute}\n'
    more = f"limits = {{ requests_per_minute = {per_minute} }}"
    return key, Pool(name=name, worker_concurrency=32, workers=workers, more=more)


def work(fleet: Installation, *accounts: str) -> None:
    """Start a worker for each of these and wait until all are there."""
    for account in accounts:
        fleet.worker(account)
    asyncio.run(fleet.present(len(accounts)))


def ended(fleet: Installation, sim: Simulator, batch: int) -> None:
    """Wait for the end of a batch: every job has its answer, and was paid for once."""
    asyncio.run(fleet.finished(batch, WITHIN_S))
    judgement = judge(asyncio.run(fleet.books(batch)), sim.ledger(), fleet.expected)
    assert judgement.broken == []
    assert (judgement.succeeded, judgement.extra) == (judgement.jobs, 0)


def refused(sim: Simulator) -> int:
    return sum(sim.stats()["rejected"].values())


def test_workers_of_one_account_share_its_limit(start: Start) -> None:
    key, pool = limited("pool", 1_800, workers=4)
    with start(key, pool) as (fleet, sim):
        work(fleet, *["pool"] * 4)
        batch = fleet.submit(200)
        ended(fleet, sim, batch)
        assert refused(sim) <= FEW


def test_a_limit_is_kept_while_redis_is_killed_and_comes_back_empty(start: Start, tmp_path: Path) -> None:
    key, pool = limited("pool", 1_800, workers=2)
    server = PrivateRedis(tmp_path)
    server.start()
    try:
        with start(key, pool, redis=server.url) as (fleet, sim):
            work(fleet, "pool", "pool")
            batch = fleet.submit(260)
            for calls in (50, 130):
                until(lambda calls=calls: sim.stats()["accepted"] >= calls)  # type: ignore[misc]
                server.kill()
                until(lambda calls=calls: sim.stats()["accepted"] >= calls + 40)  # type: ignore[misc]
                server.start()
            ended(fleet, sim, batch)
            assert refused(sim) <= FEW
    finally:
        server.kill()


def test_a_slow_account_leaves_no_tail_behind_a_fast_one(start: Start) -> None:
    """Ten times as fast, and both end together: neither holds more than a second or two of its own rate."""
    (slow_key, slow), (fast_key, fast) = limited("slow", 300), limited("fast", 3_000)
    with start(slow_key + fast_key, slow, fast) as (fleet, sim):
        work(fleet, "slow", "fast")
        batch = fleet.submit(500)
        ended(fleet, sim, batch)
        calls = sim.ledger()
        assert tail(calls, "slow", behind="fast") <= 2 * 5 + 1
        assert tail(calls, "fast", behind="slow") <= 2 * 50 + 10


def tail(calls: Sequence[Row], account: str, *, behind: str) -> int:
    """Calls of an account that began after the last one of another."""
    last = max(call["started_at"] for call in calls if call["key"] == behind)
    return sum(call["key"] == account and call["started_at"] > last for call in calls)


def test_every_process_that_is_added_fills_its_slots_and_no_more(start: Start) -> None:
    pool = Pool(name="pool", worker_concurrency=8)
    with start('[latency]\nfirst_token_s = 0.5\n[[keys]]\nname = "pool"\n', pool) as (fleet, sim):
        supervisor = fleet.fleet()
        asyncio.run(fleet.present(1))
        batch = fleet.submit(250)
        until(lambda: sim.stats()["max_in_flight"] == 8)
        asked = fleet.start("scale", "pool=3", "--config", str(fleet.config()))
        assert asyncio.run(asked.ended(WITHIN_S)) == 0
        until(lambda: sim.stats()["max_in_flight"] == 24)
        ended(fleet, sim, batch)
        assert sim.stats()["max_in_flight"] == 24
        supervisor.terminate()
        assert asyncio.run(supervisor.ended(WITHIN_S)) == 0
