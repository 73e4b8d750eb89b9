"""How fast the engine is: 20,000 jobs against a simulator without latency, beside the raw loop, in turns.

    python benchmarks/engine.py [--rounds 5] [--rows 20000]

The simulator has a process of its own; everything shares this machine. The raw loop is the same work without any
feature: read a line, POST it, insert the answer into SQLite in batches of a hundred (see raw_loop.py).
"""

import argparse
import sys
import tempfile
from pathlib import Path

from rig import HERE, Run, accounts, jobs, median, penstock_run, run, spread

from broker.testing.simulator import simulator

LEAST_PER_S = 2_500
LEAST_OF_RAW = 0.4


def _raw(folder: Path, batch: Path, url: str) -> Run:
    database = folder / "raw.db"
    for old in folder.glob("raw.db*"):
        old.unlink()
    return run([sys.executable, HERE / "raw_loop.py", batch, "--url", url, "--key", "bench", "--database", database])


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--rows", type=int, default=20_000)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="penstock-engine-") as name:
        folder = Path(name)
        batch = jobs(folder, options.rows)
        with simulator(folder, 'ledger = "counts"\n[[keys]]\nname = "bench"\n') as sim:
            config = accounts(folder, sim.base_url, ["bench"], "worker_concurrency = 512")
            raw, ours, cpu, ratios = [], [], [], []
            for number in range(options.rounds):
                raw_run = _raw(folder, batch, sim.url)
                our_run = penstock_run(folder, batch, config)
                raw.append(raw_run.summary["jobs_per_s"])
                ours.append(options.rows / our_run.summary["makespan_s"])
                cpu.append(our_run.cpu_s / options.rows * 1e6)
                ratios.append(ours[-1] / raw[-1])
                print(f"round {number + 1}: raw {raw[-1]:.0f}, penstock {ours[-1]:.0f} jobs/s, {ratios[-1]:.2f}")
            parts = penstock_run(folder, batch, config, program=(sys.executable, HERE / "parts.py"))
    print(f"\nraw loop        {spread(raw)} jobs/s")
    print(f"penstock run    {spread(ours)} jobs/s        gate >= {LEAST_PER_S}")
    print(f"ratio           {spread(ratios, '.2f')}                gate >= {LEAST_OF_RAW}")
    print(f"CPU             {spread(cpu)} µs a job, start and intake included\n")
    print("CPU µs per job by part (one more run, watched):")
    for line in parts.errors.splitlines():
        if line.startswith("part\t"):
            _, part, microseconds = line.split("\t")
            print(f"  {part:32}{float(microseconds):8.1f}")
    return 0 if median(ours) >= LEAST_PER_S and median(ratios) >= LEAST_OF_RAW else 1


if __name__ == "__main__":
    sys.exit(main())
