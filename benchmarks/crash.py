"""Kill the whole process again and again, resume each time, and compare our ledger with the provider's.

    python benchmarks/crash.py                               # 2,000 jobs, 40 kills, SQLite
    python benchmarks/crash.py --order input --seed 7
    python benchmarks/crash.py --database postgresql://postgres@127.0.0.1:5432/penstock_crash

Kills come at random moments of the process's life: while it imports, takes the file in, recovers, and works. The
database must not exist yet. Exit status 1 when a promise was broken; the last line is JSON.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from proof import Trial, account, fresh, in_flight_by_our_books, judged, prepare, show

from broker.testing.simulator import Simulator, simulator

AT_WORK_S = 1.0
"""Most kills are uniform over this long from a process's first call on."""
STARTING = 0.25
"""The share of kills that are uniform over the time up to the first call: imports, intake, recovery."""
FINISH_S = 300.0
SIM = """
seed = {seed}
keys = [{{ name = "crash" }}]
latency = {{ first_token_s = 0.15, sigma = 0.35 }}
usage = {{ cached_share = 0.3, reasoning_share = 0.2 }}
"""


class Killed:
    """What was in flight at the kills."""

    def __init__(self) -> None:
        self.kills = 0
        self.hits = 0
        """Kills that found calls in flight which no earlier one had found."""
        self.by_us: set[str] = set()
        """Open attempts in the database; a kill before recovery finds those of the kill before."""
        self.by_provider: list[int] = []
        self.too_late = 0
        """Processes that had come to their end before their kill."""


class Hunter:
    """Starts the command, and kills it at a moment that the machine's speed does not decide."""

    def __init__(self, trial: Trial, sim: Simulator, draw: random.Random) -> None:
        self.killed = Killed()
        self._trial = trial
        self._sim = sim
        self._draw = draw
        self._start_s = 1.0
        """How long the last process took to its first call."""

    def hunt(self) -> None:
        """One life."""
        process = self._trial.start()
        if self._draw.random() < STARTING:
            after_s = self._draw.uniform(0.0, self._start_s)
        else:
            self._start_s = self._first_call(process)
            after_s = self._draw.uniform(0.0, AT_WORK_S)
        try:
            status = process.wait(after_s)
        except subprocess.TimeoutExpired:
            self._kill(process)
            return
        if status:
            raise RuntimeError(f"the command ended by itself with status {status}:\n{self._trial.log()[-2000:]}")
        self.killed.too_late += 1

    def _first_call(self, process: "subprocess.Popen[bytes]") -> float:
        """Wait until the provider hears of this process; returns the seconds since its start."""
        begun = time.perf_counter()
        known = self._sim.stats()["requests"]
        while self._sim.stats()["requests"] == known and process.poll() is None:
            time.sleep(0.005)
        return time.perf_counter() - begun

    def _kill(self, process: "subprocess.Popen[bytes]") -> None:
        killed = self.killed
        # Standing still, it cannot change the provider's count between our look and the kill.
        process.send_signal(signal.SIGSTOP)
        killed.by_provider.append(int(self._sim.stats()["in_flight"]))
        process.kill()
        process.wait()
        hit = in_flight_by_our_books(self._trial.database) - killed.by_us
        killed.by_us |= hit
        killed.kills += 1
        killed.hits += bool(hit)
        print(
            f"kill {killed.kills:>3}: {len(hit):>3} attempts open, {killed.by_provider[-1]:>3} calls at the provider",
            file=sys.stderr,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill, resume, and count what was paid for.")
    parser.add_argument("--jobs", type=int, default=2_000)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--concurrency", type=int, default=8, help="calls in flight")
    parser.add_argument("--order", choices=("completion", "input"), default="completion")
    parser.add_argument("--database", help="default: a SQLite file in a temporary folder")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="penstock-crash-") as name:
        folder = Path(name)
        with (
            fresh(asked.database or f"sqlite:///{folder}/crash.db") as database,
            simulator(folder, SIM.format(seed=asked.seed)) as sim,
        ):
            accounts = account("crash", sim.base_url, folder, concurrency=asked.concurrency)
            trial = prepare(folder, database, accounts, jobs=asked.jobs, order=asked.order)
            begun = time.perf_counter()
            hunter = Hunter(trial, sim, random.Random(asked.seed))
            for _ in range(asked.kills):
                hunter.hunt()
            last = trial.start()
            status = last.wait(FINISH_S)
            seconds = time.perf_counter() - begun
            judgement, killed = judged(trial, sim.ledger()), hunter.killed
            in_flight = len(killed.by_us)
            broken = list(judgement.broken)
            if status:
                broken.append(f"the last run ended with status {status}: {trial.log()[-500:]}")
            if killed.too_late:
                broken.append(f"{killed.too_late} kills came after the end: ask for more jobs")
            if not judgement.extra <= judgement.unknown <= in_flight:
                broken.append("extra paid calls <= unknown attempts <= calls in flight at the kills does not hold")
    figures = {
        "database": "PostgreSQL" if asked.database else "SQLite",
        "order": asked.order,
        "kills": killed.kills,
        "kills that hit calls": killed.hits,
        "calls in flight at the kills, by our books": in_flight,
        "calls in flight at the kills, by the provider": sum(killed.by_provider),
        **judgement.as_json(),
        "seconds": round(seconds, 1),
    }
    return show({name: value for name, value in figures.items() if name != "broken"}, broken)


if __name__ == "__main__":
    sys.exit(main())
