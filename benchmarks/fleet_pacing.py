"""How a fleet keeps to the limits of its accounts, as the provider sees it.

    python benchmarks/fleet_pacing.py [redis] [shared] [uneven] [scale]     all of them when none is named

redis     four workers of one account; Redis is killed and started empty five times
shared    one account: one worker, then sixteen, of which half are killed on the way
uneven    two accounts of which one is ten times as fast: when each of them finishes its last job
scale     `penstock scale` from one to eight workers of eight slots, calls of two seconds

The simulated provider is the judge: its ledger says when each call was admitted, and what it refused. Servers are found
as the tests find them; the Redis that is killed is a private one.
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fleet_rig import a_fleet, drained, makespan_s
from rig import jobs

from broker.testing.simulator import Simulator, simulator
from tests.chaos.installation import Installation, Pool
from tests.servers.redis_server import PrivateRedis
from tests.shared_fleet import ROLES

PER_MINUTE = 6_000
PER_S = PER_MINUTE / 60
WINDOW_S = 10.0
KEY = '[[keys]]\nname = "bench"\n'
BUCKET = f"window_s = 1.0\nrequests_per_minute = {PER_MINUTE}\n"
LATENCY = "[latency]\nfirst_token_s = 0.05\nsigma = 0.3\n"
_LOOK_S = 0.01
LIMITED = f"limits = {{ requests_per_minute = {PER_MINUTE} }}"


class Verdict:
    """Prints figures beside their gates."""

    def __init__(self) -> None:
        self.missed = 0

    def say(self, what: str, value: float, gate: float, *, least: bool = False, form: str = ".3f") -> None:
        """Show a figure which is to be at most (or at least) its gate."""
        held = value >= gate if least else value <= gate
        self.missed += not held
        sign = ">=" if least else "<="
        print(f"  {what:64}{value:{form}}   gate {sign} {gate:{form}}{'' if held else '   MISSED'}", flush=True)


@contextmanager
def a_paced_fleet(
    config: str, pools: Sequence[Pool], rows: int, *, redis_url: str | None = None
) -> Iterator[tuple[Installation, Simulator, Path]]:
    """Give a serving fleet without workers, its simulator, and a batch file."""
    with tempfile.TemporaryDirectory(prefix="penstock-pace-") as name:
        folder = Path(name)
        with simulator(folder, config) as sim, a_fleet(folder, sim, pools, redis_url=redis_url) as fleet:
            fleet.serve(1, *ROLES)
            yield fleet, sim, jobs(folder, rows)


def present(fleet: Installation, workers: int) -> None:
    """Wait until so many work."""
    asyncio.run(fleet.present(workers))


def now(sim: Simulator) -> float:
    """The simulator's clock, in seconds since its start."""
    return float(sim.stats()["elapsed_s"])


def starts(sim: Simulator, key: str = "bench") -> list[float]:
    """When each call was admitted."""
    return sorted(row["started_at"] for row in sim.ledger() if row["key"] == key)


def busiest(moments: Sequence[float], window_s: float, counts: Callable[[float], bool] = lambda _: True) -> int:
    """Most calls in any window whose first call counts."""
    most = first = 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - window_s:
            first += 1
        if counts(moments[first]):
            most = max(most, last - first + 1)
    return most


class HoldUps(threading.Thread):
    """How long this machine has kept a thread waiting that wanted to run: figures below are no better than that."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.longest_s = 0.0
        self.start()

    def run(self) -> None:
        before = time.monotonic()
        while True:
            time.sleep(_LOOK_S)
            after = time.monotonic()
            self.longest_s = max(self.longest_s, after - before - _LOOK_S)
            before = after


def redis(verdict: Verdict) -> None:
    """Kill it five times, away for a while each time; what comes back is empty."""
    away_s = (3.0, 0.0, 6.0, 1.0, 12.0)
    up_s = 25.0
    seconds = (len(away_s) + 1) * up_s + sum(away_s)
    pool = Pool(name="bench", workers=4, worker_concurrency=64, more=LIMITED)
    with tempfile.TemporaryDirectory(prefix="penstock-redis-") as name:
        server = PrivateRedis(Path(name))
        server.start()
        try:
            with a_paced_fleet(f"{KEY}{LATENCY}", [pool], int(PER_S * seconds), redis_url=server.url) as (
                fleet,
                sim,
                batch,
            ):
                for _ in range(4):
                    fleet.worker("bench")
                present(fleet, 4)
                fleet.submit_file(batch)
                time.sleep(up_s)
                killed, back = [], []
                for away in away_s:
                    killed.append(now(sim))
                    server.kill()
                    time.sleep(away)
                    server.start()
                    back.append(now(sim))
                    time.sleep(up_s)
                end, moments = now(sim), starts(sim)
        finally:
            server.kill()
    moments = [moment for moment in moments if moment <= end]

    def settled(moment: float) -> bool:
        """Ten seconds behind a restart; what is counted may run into the next kill."""
        between = zip(back, [*killed[1:], end], strict=True)
        return any(there + WINDOW_S <= moment < gone for there, gone in between)

    limit = PER_S * WINDOW_S
    print(f"redis: {len(away_s)} kills, away for {away_s} s; {len(moments)} calls in {end - moments[0]:.0f} s")
    verdict.say("busiest 10 s, of the limit", busiest(moments, WINDOW_S) / limit, 1.10)
    verdict.say("busiest 10 s from 10 s after a restart on", busiest(moments, WINDOW_S, settled) / limit, 1.05)
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    verdict.say("longest stop, seconds", max(gaps), 5.0, form=".2f")
    print(f"  use of the limit over all: {len(moments) / (PER_S * (end - moments[0])):.3f}")


def shared(verdict: Verdict, *, seconds: float = 120.0) -> None:
    """Compare sixteen workers, half of which die, with one."""
    uses, refused = [], []
    for workers in (1, 16):
        pool = Pool(name="bench", workers=workers, worker_concurrency=64, more=LIMITED)
        with a_paced_fleet(f"{KEY}{BUCKET}{LATENCY}", [pool], int(PER_S * (seconds + 60))) as (fleet, sim, batch):
            started = [fleet.worker("bench") for _ in range(workers)]
            present(fleet, workers)
            fleet.submit_file(batch)
            while not sim.stats()["accepted"]:
                time.sleep(0.05)
            begin = now(sim) + 1.0
            victims = started[: workers // 2]
            for number, victim in enumerate(victims):
                time.sleep(max(0.0, begin + seconds * (number + 1) / (len(victims) + 2) - now(sim)))
                victim.kill()
            time.sleep(max(0.0, begin + seconds - now(sim)))
            stats = sim.stats()
            admitted = [moment for moment in starts(sim) if begin <= moment < begin + seconds]
        uses.append(len(admitted) / (PER_S * seconds))
        refused.append(sum(stats["rejected"].values()))
        print(
            f"shared: {workers:2} workers, {len(victims)} killed: use {uses[-1]:.4f}, {refused[-1]} refused", flush=True
        )
    verdict.say("change of the use of the limit", abs(uses[1] - uses[0]) / uses[0], 0.01, form=".4f")
    verdict.say("refused (429), both together", sum(refused), 10, form=".0f")


def uneven(verdict: Verdict, *, slow_per_minute: float = 60.0, intervals: int = 300) -> None:
    """Let two accounts share one batch."""
    seconds = intervals * 60 / slow_per_minute
    rates = {"fast": 10 * slow_per_minute, "slow": slow_per_minute}
    config = "".join(
        f'[[keys]]\nname = "{name}"\nwindow_s = 10.0\nrequests_per_minute = {rate}\n' for name, rate in rates.items()
    )
    pools = [Pool(name=name, more=f"limits = {{ requests_per_minute = {rate} }}") for name, rate in rates.items()]
    with a_paced_fleet(f"{config}{LATENCY}", pools, int(seconds * 11 * slow_per_minute / 60)) as (fleet, sim, batch):
        for name in rates:
            fleet.worker(name)
        present(fleet, 2)
        number = fleet.submit_file(batch)
        drained(fleet, number, 3 * seconds + 60)
        makespan = makespan_s(fleet, number)
        ended = {name: max(row["finished_at"] for row in sim.ledger() if row["key"] == name) for name in rates}
        counts = {name: len(starts(sim, name)) for name in rates}
        refused = sum(sim.stats()["rejected"].values())
    print(
        f"uneven: {counts} jobs in {makespan:.1f} s, {makespan * slow_per_minute / 60:.0f} intervals, {refused} refused"
    )
    verdict.say(
        "between the last jobs, of the makespan", abs(ended["fast"] - ended["slow"]) / makespan, 0.02, form=".4f"
    )
    verdict.say("makespan, intervals of the slow account", makespan * slow_per_minute / 60, 200, least=True, form=".0f")


def scale(verdict: Verdict, *, seconds: float = 30.0) -> None:
    """Measure one worker, ask for eight, and measure again when they are there."""
    per_s = {}
    pool = Pool(name="bench", worker_concurrency=8)
    with a_paced_fleet(f"{KEY}[latency]\nfirst_token_s = 2.0\nsigma = 0.05\n", [pool], int(40 * (seconds + 60))) as (
        fleet,
        sim,
        batch,
    ):
        fleet.fleet()
        present(fleet, 1)
        fleet.submit_file(batch)
        while not sim.stats()["accepted"]:
            time.sleep(0.05)
        for workers in (1, 8):
            if workers > 1:
                asked = fleet.start("scale", f"bench={workers}", "--config", str(fleet.config()))
                if asyncio.run(asked.ended(30)):
                    sys.exit(asked.log)
                present(fleet, workers)
            begin = now(sim) + 6.0
            time.sleep(6.0 + seconds)
            ended = [row["finished_at"] for row in sim.ledger() if row["outcome"] == "complete"]
            per_s[workers] = sum(begin <= moment < begin + seconds for moment in ended) / seconds
            print(f"scale: {workers} workers, {per_s[workers]:.2f} jobs/s", flush=True)
        print(f"  most calls at once: {sim.stats()['max_in_flight']}")
    verdict.say("times the throughput of one", per_s[8] / per_s[1], 7.0, least=True, form=".2f")


SECTIONS = {section.__name__: section for section in (redis, shared, uneven, scale)}


def main() -> int:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("sections", nargs="*", choices=[*SECTIONS, []], metavar="SECTION", help=", ".join(SECTIONS))
    verdict, held_up = Verdict(), HoldUps()
    for name in arguments.parse_args().sections or SECTIONS:
        held_up.longest_s = 0.0
        SECTIONS[name](verdict)
        print(f"  longest hold-up of this process by others on the machine: {held_up.longest_s:.2f} s\n", flush=True)
    return 1 if verdict.missed else 0


if __name__ == "__main__":
    sys.exit(main())
