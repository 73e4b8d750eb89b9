"""A million rows: memory, intake, and whether a job costs the same at any size.

    python benchmarks/size.py [--rows 1000000] [--small 20000] [--rounds 1]

CPU per job leaves out what a run of one row costs, which is the start of the process.
"""

import argparse
import sqlite3
import sys
import tempfile
from pathlib import Path

from rig import Run, accounts, jobs, median, penstock_run, spread

from broker.testing.simulator import simulator

MOST_MIB = 250e6 / 2**20
LEAST_INTAKE = 25_000
MOST_GROWTH = 0.15


def _intake_per_s(folder: Path, rows: int) -> float:
    with sqlite3.connect(folder / "penstock.db") as database:
        (seconds,) = database.execute("select accepted_at - created_at from batches").fetchone()
    return float(rows / seconds)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--small", type=int, default=20_000)
    arguments.add_argument("--rounds", type=int, default=1)
    options = arguments.parse_args()
    peaks, intakes, growths = [], [], []
    with tempfile.TemporaryDirectory(prefix="penstock-size-") as name:
        folder = Path(name)
        tiny, small, big = jobs(folder, 1), jobs(folder, options.small), jobs(folder, options.rows)
        with simulator(folder, 'ledger = "counts"\n[[keys]]\nname = "bench"\n') as sim:
            config = accounts(folder, sim.base_url, ["bench"], "worker_concurrency = 512")

            def cpu_us(run: Run, rows: int) -> float:
                return (run.cpu_s - start.cpu_s) / rows * 1e6

            for number in range(options.rounds):
                start = penstock_run(folder, tiny, config)
                small_us = median([cpu_us(penstock_run(folder, small, config), options.small) for _ in range(3)])
                run = penstock_run(folder, big, config)
                big_us = cpu_us(run, options.rows)
                peaks.append(run.peak_mib)
                intakes.append(_intake_per_s(folder, options.rows))
                growths.append(big_us / small_us - 1)
                print(
                    f"round {number + 1}: peak {peaks[-1]:.0f} MiB, intake {intakes[-1]:.0f} rows/s, "
                    f"CPU {small_us:.0f} µs a job at {options.small}, {big_us:.0f} at {options.rows}, "
                    f"{options.rows / run.summary['makespan_s']:.0f} jobs/s"
                )
    print(f"\npeak memory      {spread(peaks)} MiB    gate < {MOST_MIB:.0f}")
    print(f"intake           {spread(intakes)} rows/s    gate >= {LEAST_INTAKE}")
    print(f"CPU per job      {spread(growths, '+.1%')} against {options.small} jobs    gate <= +{MOST_GROWTH:.0%}")
    good = median(peaks) < MOST_MIB and median(intakes) >= LEAST_INTAKE and median(growths) <= MOST_GROWTH
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
