"""How fast a fleet is: 20,000 jobs against a simulator without latency, beside the raw loop, in turns.

    python benchmarks/fleet_engine.py [--rounds 5] [--rows 20000]

RabbitMQ (quorum queues), PostgreSQL, Redis, one `penstock serve`, one `penstock worker` with 512 slots and the
simulator are all on this machine. The raw loop is the same work without any feature (see raw_fleet.py), with as many
calls in flight as make it fastest. What others do on the same servers meanwhile adds to the servers' CPU time.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fleet_rig import a_fleet, cpu_seconds, drained, makespan_s, server_cpu, servers
from rig import HERE, jobs, median, run, spread

from broker.testing.simulator import simulator
from tests.chaos.installation import Installation, Pool
from tests.shared_fleet import ROLES

LEAST_PER_S = 1_500
LEAST_OF_RAW = 0.4
IN_FLIGHT = (128, 256, 512)
WITHIN_S = 180.0


def _raw(fleet: Installation, batch: Path, url: str, in_flight: int) -> Mapping[str, float]:
    words = [sys.executable, HERE / "raw_fleet.py", batch, "--url", url, "--key", "bench"]
    places = ["--rabbitmq", servers()["rabbitmq"], "--database", fleet.database_url]
    return run([*words, *places, "--in-flight", str(in_flight)]).summary


@contextmanager
def _counted(clocks: Mapping[str, Callable[[], float]], rows: int) -> Iterator[dict[str, float]]:
    """Give the CPU time of each clock over the block, in microseconds per job."""
    before = {name: clock() for name, clock in clocks.items()}
    used: dict[str, float] = {}
    yield used
    used |= {name: (clock() - before[name]) / rows * 1e6 for name, clock in clocks.items()}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--rows", type=int, default=20_000)
    options = arguments.parse_args()
    raw, ours, ratios = [], [], []
    cpu: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="penstock-fleet-") as name:
        folder = Path(name)
        few, many = jobs(folder, options.rows // 4), jobs(folder, options.rows)
        pool = Pool(name="bench", worker_concurrency=512)
        with (
            simulator(folder, 'ledger = "counts"\n[[keys]]\nname = "bench"\n') as sim,
            a_fleet(folder, sim, [pool]) as fleet,
        ):
            trials = {in_flight: _raw(fleet, few, sim.url, in_flight)["jobs_per_s"] for in_flight in IN_FLIGHT}
            best = max(trials, key=trials.__getitem__)
            print(f"raw loop by calls in flight: {trials}; {best} from here on")
            (serve,), worker = fleet.serve(1, *ROLES), fleet.worker("bench")
            asyncio.run(fleet.present(1))
            clocks = {
                "penstock worker": lambda: cpu_seconds(worker.pid),
                "penstock serve": lambda: cpu_seconds(serve.pid),
                "RabbitMQ": lambda: server_cpu(servers()["rabbitmq"]),
                "PostgreSQL": lambda: server_cpu(servers()["postgres"]),
                "Redis": lambda: server_cpu(servers()["redis_url"]),
                "simulator": lambda: cpu_seconds(sim.pid),
            }
            for number in range(options.rounds):
                summary = _raw(fleet, many, sim.url, best)
                raw.append(summary["jobs_per_s"])
                with _counted(clocks, options.rows) as used:
                    batch = fleet.submit_file(many, "--tag", str(number))
                    drained(fleet, batch, WITHIN_S)
                cpu.append({"raw loop": summary["cpu_us_per_job"], **used})
                ours.append(options.rows / makespan_s(fleet, batch))
                ratios.append(ours[-1] / raw[-1])
                print(f"round {number + 1}: raw {raw[-1]:.0f}, penstock {ours[-1]:.0f} jobs/s, {ratios[-1]:.2f}")
    print(f"\nraw loop        {spread(raw)} jobs/s")
    print(f"penstock        {spread(ours)} jobs/s        gate >= {LEAST_PER_S}")
    print(f"ratio           {spread(ratios, '.2f')}                gate >= {LEAST_OF_RAW}")
    print("\nCPU µs per job by process; intake is `penstock submit`, a process of its own, whose statements count:")
    for process in cpu[0]:
        print(f"  {process:20}{spread([used[process] for used in cpu])}")
    return 0 if median(ours) >= LEAST_PER_S and median(ratios) >= LEAST_OF_RAW else 1


if __name__ == "__main__":
    sys.exit(main())
