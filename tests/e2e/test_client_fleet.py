"""The client commands on a fleet that works: real processes, RabbitMQ, PostgreSQL and Redis."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from broker.domain.batch import TERMINAL, Batch, BatchState
from broker.store import batches
from broker.store.standing import played, standing
from broker.testing.simulator import simulator
from tests.chaos.installation import MODEL, Installation, Pool
from tests.e2e.command_line import Folder, ended, until
from tests.shared_fleet import ROLES, fleet_on

T = TypeVar("T")

ROWS = 200
pytestmark = pytest.mark.timeout(300)  # a dozen commands, each a process that starts
SIM = """
[latency]
first_token_s = 0.4
[[keys]]
name = "pool"
concurrency = 4
"""


@pytest.fixture
def fleet(tmp_path: Path, postgres_server: dict[str, str], rabbitmq_url: str, redis_url: str) -> Iterator[Installation]:
    pools = [Pool(name="pool", worker_concurrency=4)]
    servers = {"postgres": postgres_server["server"], "rabbitmq": rabbitmq_url, "redis_url": redis_url}
    with simulator(tmp_path, SIM) as sim, fleet_on(tmp_path, sim, pools, **servers) as fleet:
        yield fleet


def test_a_batch_is_submitted_paused_resumed_followed_and_explained(fleet: Installation) -> None:
    folder = Folder(fleet.folder)
    folder.keys["PENSTOCK_DATABASE"] = fleet.database_url
    config = ("--config", str(fleet.config()))
    folder.jobs(ROWS, model=lambda _: MODEL)

    assert folder.run("submit", "jobs.jsonl", *config).out == "1\n"
    assert "waits: no `penstock serve` feeds it (none ever has)" in folder.run("status", *config).out
    fleet.serve(1, *ROLES)
    until(lambda: look(fleet, partial(played, role="feeder")) is not None)
    assert "waits    for workers: none is alive" in folder.run("status", *config).out
    fleet.worker("pool")
    with folder.started("results", "1", "--follow", "--output", "seen.jsonl") as following:
        until(lambda: len(folder.lines("seen.jsonl")) > 2)
        told = folder.run("status", *config).out
        assert "state    running, by the fleet" in told
        assert "works    pool: 1 process, " in told
        assert "ends     in " in told
        assert folder.run("pause", "1").code == 0
        until(lambda: look(fleet, partial(standing, batch_id=1, finished=0)).in_flight == 0)
        paid = len(fleet.sim.ledger())
        assert paid < ROWS
        assert "state    paused; let it go on with: penstock resume 1" in folder.run("status", *config).out
        assert folder.run("resume", "1").code == 0
        assert ended(following).code == 0
    assert {line["custom_id"] for line in folder.lines("seen.jsonl")} == {f"row-{number}" for number in range(ROWS)}
    assert len(fleet.sim.ledger()) == ROWS
    again = folder.run("submit", "jobs.jsonl", *config)
    assert (again.out, "is batch 1 already (200 rows, completed)" in again.err) == ("1\n", True)
    assert folder.run("retry", "1").code == 2


def test_a_batch_is_cancelled_by_its_fleet_and_retried(fleet: Installation) -> None:
    folder = Folder(fleet.folder)
    folder.keys["PENSTOCK_DATABASE"] = fleet.database_url
    folder.jobs(ROWS, model=lambda _: MODEL)
    fleet.serve(1, *ROLES)
    fleet.worker("pool")
    fleet.submit_file(folder.path / "jobs.jsonl")
    until(lambda: a_batch(fleet, 1).counts.succeeded > 2)
    assert "`penstock serve` finishes it" in folder.run("cancel", "1").out
    until(lambda: a_batch(fleet, 1).state in TERMINAL)
    counts = a_batch(fleet, 1).counts
    assert a_batch(fleet, 1).state is BatchState.CANCELLED
    assert (counts.failed, counts.succeeded + counts.cancelled) == (0, ROWS)
    assert counts.succeeded == len(fleet.sim.ledger())
    assert folder.run("retry", "1", "--state", "cancelled").out == "2\n"
    until(lambda: a_batch(fleet, 2).state is BatchState.COMPLETED)
    assert a_batch(fleet, 2).counts.succeeded == counts.cancelled
    assert len(fleet.sim.ledger()) == ROWS


def look(fleet: Installation, operation: Callable[[Connection], T]) -> T:
    """Read something from the database of a fleet."""
    return asyncio.run(fleet.read(operation))


def a_batch(fleet: Installation, batch_id: int) -> Batch:
    return look(fleet, partial(batches.get, batch_id=batch_id))
