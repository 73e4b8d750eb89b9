"""How long the command takes to say what it can do: `python benchmarks/start.py [--rounds 5]`."""

import argparse
import subprocess
import sys
import time

from rig import PENSTOCK, median, spread

MOST_S = 0.3


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--rounds", type=int, default=5)
    options = arguments.parse_args()
    seconds = []
    for _ in range(options.rounds + 1):
        began = time.perf_counter()
        subprocess.run([str(PENSTOCK), "--help"], check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    del seconds[0]  # writes the compiled modules
    print(f"penstock --help   {spread(seconds, '.2f')} s    gate < {MOST_S}")
    return 0 if median(seconds) < MOST_S else 1


if __name__ == "__main__":
    sys.exit(main())
