"""Runs benchmarks in turn: `make bench`, or `python benchmarks engine pacing` for these only.

Its exit status counts the gates that were missed; a name that is none exits with 2.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ALL = (
    "start",
    "translation",
    "engine",
    "pacing",
    "ledger",
    "crash",
    "faults",
    "size",
    "fleet_engine",
    "fleet_pacing",
    "chaos",
)


def main(names: Sequence[str]) -> int:
    unheard_of = set(names) - set(ALL)
    if unheard_of:
        print(f"no benchmark {', '.join(sorted(unheard_of))}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    missed = []
    for name in names or ALL:
        print(f"\n== {name} {'=' * (96 - len(name))}\n", flush=True)
        if subprocess.run([sys.executable, Path(__file__).with_name(f"{name}.py")], check=False).returncode:
            missed.append(name)
    print(f"\nmissed: {', '.join(missed)}" if missed else "\nall gates held")
    return len(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
