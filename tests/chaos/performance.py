"""Plays a scenario from its first process to its verdict."""

import asyncio
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from broker.testing.simulator import simulator
from tests.chaos.installation import PENSTOCK, Installation, Pool
from tests.chaos.servers import Servers
from tests.chaos.stage import POOL, Scenario, Size, Stage
from tests.chaos.verdict import Verdict, judged

_SIM = """
seed = {seed}
keys = [{{ name = "{key}" }}]
latency = {{ first_token_s = {call_s}, sigma = 0.35 }}
usage = {{ cached_share = 0.3, reasoning_share = 0.2 }}
"""


def planted(*faults: str) -> Sequence[str]:
    """Give the command that is `penstock` with defects in it."""
    return (sys.executable, "-P", str(Path(__file__).with_name("planted.py")), *faults, "--") if faults else PENSTOCK


def perform(
    scenario: Scenario,
    servers: Servers,
    folder: Path,
    *,
    size: Size | None = None,
    seed: int = 1,
    program: Sequence[str] = PENSTOCK,
) -> Verdict:
    """Run a fleet in an empty folder, let the faults come, and judge what is left.

    `program` is started instead of `penstock`; What the processes said goes to standard error when a promise was
    broken.
    """
    size = size or scenario.full
    pool = Pool(name=POOL, workers=size.workers, worker_concurrency=size.slots)
    config = _SIM.format(seed=seed, key=pool.name, call_s=size.call_s)
    with (
        simulator(folder, config) as sim,
        Installation(folder, servers, sim, [pool], program=program) as fleet,
    ):
        stage = Stage(fleet=fleet, size=size, draw=random.Random(seed))
        scenario.begin(stage)
        stage.batch_id = fleet.submit(size.jobs)
        begun = time.monotonic()
        asyncio.run(_played(scenario, stage))
        seconds = time.monotonic() - begun
        for process in fleet.processes:
            process.kill_family()
        servers.restore()
        verdict = judged(
            asyncio.run(fleet.books(stage.batch_id)),
            sim.ledger(),
            fleet.expected,
            scenario=scenario.name,
            faults=size.faults,
            bound=stage.bound,
            seconds=seconds,
            figures=stage.figures,
            broken=stage.broken,
        )
        if not verdict.kept:
            _tell(fleet)
        return verdict


async def _played(scenario: Scenario, stage: Stage) -> None:
    try:
        async with asyncio.timeout(stage.size.within_s):
            await scenario.play(stage)
            await stage.fleet.finished(stage.batch_id, stage.size.within_s)
            await stage.leave()
            if left := stage.fleet.spooled():
                stage.broken.append(f"{len(left)} answers were left in spools")
    except TimeoutError as error:
        stage.broken.append(f"it did not come to its end within {stage.size.within_s:g} s: {error}")


def _tell(fleet: Installation) -> None:
    """Leave the last words of all processes where whoever looks at the failure finds them."""
    for process in fleet.processes:
        sys.stderr.write(f"--- {process.name}, status {process.status}\n{process.log[-3000:]}\n")
