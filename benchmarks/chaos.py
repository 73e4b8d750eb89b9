"""Kill the processes and servers of a fleet while it drains batches, and compare our ledger with the provider's.

    python benchmarks/chaos.py                              # every scenario at full size: 10,000 jobs each
    python benchmarks/chaos.py --only "worker SIGKILL" --seed 7
    python benchmarks/chaos.py --scale 0.1                  # a tenth of the jobs

Everything is private: RabbitMQ, PostgreSQL and Redis of its own, on ports and in folders of its own. Needs root on
Debian, as the tests of these scenarios do. Exit status 1 when a promise was broken; the last line is JSON.
"""

import argparse
import json
import logging
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.chaos.performance import perform
from tests.chaos.scenarios import ALL, WORKER_KILLED
from tests.chaos.servers import private_servers
from tests.chaos.stage import Scenario, Size
from tests.chaos.verdict import Verdict, header

TAKE_OVER_S = 10.0
LEAST_JOBS = 300


def main() -> int:
    names = [scenario.name for scenario in ALL]
    parser = argparse.ArgumentParser(description="Kill processes and servers of a fleet, and count what was paid for.")
    parser.add_argument("--only", choices=names, action="append", help="one scenario; repeat for more")
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of jobs; faults stay as many")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers and processes end with us
    chosen = [scenario for scenario in ALL if not asked.only or scenario.name in asked.only]
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # it says so whenever a server that we killed is away
    verdicts = []
    print(header(), flush=True)
    with private_servers() as servers:
        for scenario in chosen:
            with tempfile.TemporaryDirectory(prefix="penstock-chaos-") as name:
                verdict = perform(scenario, servers, Path(name), size=_scaled(scenario, asked.scale), seed=asked.seed)
            verdicts.append(_within_the_figures(scenario, verdict))
            print(verdicts[-1].line(), flush=True)
    broken = [f"{verdict.scenario}: {sentence}" for verdict in verdicts for sentence in verdict.broken]
    for sentence in broken[:40]:
        print(f"BROKEN: {sentence}")
    print("every promise was kept" if not broken else f"{len(broken)} promises were broken")
    print(json.dumps([verdict.as_json() for verdict in verdicts]))
    return 1 if broken else 0


def _scaled(scenario: Scenario, scale: float) -> Size:
    return replace(scenario.full, jobs=max(min(LEAST_JOBS, scenario.full.jobs), round(scenario.full.jobs * scale)))


def _within_the_figures(scenario: Scenario, verdict: Verdict) -> Verdict:
    """What is only promised on a machine of one's own: how soon a role is taken over, and the price of a kill."""
    missed = [
        f"{name} {seconds:.1f} s, {TAKE_OVER_S:g} s are promised"
        for name, seconds in verdict.figures.items()
        if seconds > TAKE_OVER_S
    ]
    slots = verdict.faults * scenario.full.slots
    if scenario is WORKER_KILLED and verdict.extra > slots:
        missed.append(f"{verdict.extra} extra paid calls for {verdict.faults} kills of {scenario.full.slots} slots")
    return replace(verdict, broken=[*verdict.broken, *missed])


if __name__ == "__main__":
    sys.exit(main())
