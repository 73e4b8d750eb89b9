"""Runs every benchmark in turn: `make bench`. Its exit status counts the gates that were missed."""

import subprocess
import sys
from pathlib import Path

ALL = ("engine", "pacing", "ledger", "crash", "faults", "size")


def main() -> int:
    missed = []
    for name in ALL:
        print(f"\n== {name} {'=' * (96 - len(name))}\n", flush=True)
        if subprocess.run([sys.executable, Path(__file__).with_name(f"{name}.py")], check=False).returncode:
            missed.append(name)
    print(f"\nmissed: {', '.join(missed)}" if missed else "\nall gates held")
    return len(missed)


if __name__ == "__main__":
    sys.exit(main())
