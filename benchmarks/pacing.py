"""How close a pool stays to its limit: four accounts of 6,000 requests a minute, a server bucket of one second.

    python benchmarks/pacing.py [--rounds 5] [--seconds 30]

The simulator's own counters are the judge: accepted calls per second and key, from the second second to the last
one, and rejections over the whole run.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rig import accounts, jobs, median, penstock_run, spread

from broker.testing.simulator import simulator

PER_MINUTE = 6_000
KEYS = ("a", "b", "c", "d")
LEAST_USE = 0.98
MOST_REJECTED = 2.0


def _sim() -> str:
    keys = "".join(f'[[keys]]\nname = "{key}"\nwindow_s = 1.0\nrequests_per_minute = {PER_MINUTE}\n' for key in KEYS)
    return f"{keys}\n[latency]\nfirst_token_s = 0.05\nsigma = 0.3\n"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=int, default=30)
    options = arguments.parse_args()
    rate = PER_MINUTE / 60 * len(KEYS)
    uses, rejections = [], []
    with tempfile.TemporaryDirectory(prefix="penstock-pacing-") as name:
        folder = Path(name)
        batch = jobs(folder, int(rate * (options.seconds + 2)))
        for number in range(options.rounds):
            with simulator(folder, _sim()) as sim:
                config = accounts(folder, sim.base_url, KEYS, f"limits = {{ requests_per_minute = {PER_MINUTE} }}")
                penstock_run(folder, batch, config)
                stats = sim.stats()
            accepted = _accepted_per_second(stats)
            first = min(accepted)
            window = [accepted.get(second, 0) for second in range(first + 1, first + 1 + options.seconds)]
            uses.append(sum(window) / (rate * options.seconds))
            total = sum(accepted.values())
            rejected = sum(stats["rejected"].values())
            rejections.append(rejected / total * 1000)
            print(f"round {number + 1}: use {uses[-1]:.4f}, rejected {rejected} of {total + rejected}")
    print(f"\nuse of the limit         {spread(uses, '.4f')}    gate >= {LEAST_USE}")
    print(f"rejections per 1,000     {spread(rejections, '.2f')}    gate <= {MOST_REJECTED}")
    return 0 if median(uses) >= LEAST_USE and median(rejections) <= MOST_REJECTED else 1


def _accepted_per_second(stats: Mapping[str, Any]) -> Counter[int]:
    """Calls by seconds of the simulator's clock, over all keys."""
    accepted: Counter[int] = Counter()
    for key in stats["keys"].values():
        accepted.update({int(second): count for second, count in key["accepted_per_second"].items()})
    return accepted


if __name__ == "__main__":
    sys.exit(main())
