"""Behaves like a worker process, in the ways that a file tells it; imports nothing of the project, to start quickly.

    python -I -S fleet_worker.py FOLDER ACCOUNT

FOLDER/ACCOUNT.mode has words: crash, refuse (exit at once), slow (ready once FOLDER/ready is there), busy (told to end,
it waits for FOLDER/finished), stubborn (it never ends), silent (never ready), talk (prints), spawn (leaves a child that
holds its output open). What happens goes into FOLDER/diary.
"""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

FOLDER, ACCOUNT = Path(sys.argv[1]), sys.argv[2]
LOOK_MS = 10


def note(what: str, **facts: object) -> None:
    line = json.dumps({"account": ACCOUNT, "pid": os.getpid(), "what": what} | facts) + "\n"
    diary = os.open(FOLDER / "diary", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(diary, line.encode())
    os.close(diary)


def main() -> int:
    modes = (FOLDER / f"{ACCOUNT}.mode").read_text().split()
    told: list[int] = []

    def hear(number: int, _frame: object) -> None:
        told.append(number)
        note("told", signal=number)

    signal.signal(signal.SIGTERM, hear)
    signal.signal(signal.SIGINT, hear)
    note("began", variables=sorted(os.environ), session=os.getsid(0))  # noqa: TID251 - what it was given is the point
    if "talk" in modes:
        print("one\ntwo", flush=True)  # noqa: T201
        print("three", file=sys.stderr, flush=True)  # noqa: T201
        sys.stdout.write("no end")
        sys.stdout.flush()
    if "spawn" in modes:
        child = subprocess.Popen(["/bin/sleep", "60"])
        note("spawned", child=child.pid)
    if "crash" in modes:
        return 3
    if "refuse" in modes:
        return 2
    alone = select.poll()
    alone.register(int(os.environ["PENSTOCK_PARENT_FD"]), select.POLLIN | select.POLLHUP)  # noqa: TID251
    ready = left = False
    while True:
        if not ready and "silent" not in modes and ("slow" not in modes or (FOLDER / "ready").exists()):
            ready = True
            note("ready")
            os.write(int(os.environ["PENSTOCK_READY_FD"]), b"ready\n")  # noqa: TID251
        if alone.poll(LOOK_MS) and not left:
            left = True
            note("alone")
        may_end = "stubborn" not in modes and ("busy" not in modes or (FOLDER / "finished").exists())
        if (told or left) and may_end:
            note("ended")
            return 0


if __name__ == "__main__":
    sys.exit(main())
