"""`penstock` under a watcher that says where the CPU goes: `python benchmarks/parts.py run JOBS … `.

The main thread's CPU clock is read every 2 ms, and what it has advanced is booked to the innermost part of ours
on its stack. Database operations run in threads of their own and are timed by those threads' clocks. Printed to
standard error when the run ends, in microseconds per job.
"""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from broker.store import engine

EVERY_S = 0.002
PARTS = {
    "broker/intake": "intake",
    "broker/feeder": "feed",
    "broker/transport": "feed",
    "workers/calls": "call",
    "workers/deadlines": "call",
    "broker/protocols": "translate and classify",
    "workers/classify": "translate and classify",
    "broker/limits": "limits and estimates",
    "broker/accounting": "price",
    "workers/recorder": "record",
    "broker/delivery": "deliver",
    "broker/cli/views": "view",
    "broker/cli/figures": "view",
    "broker/progress": "view",
    "workers/": "pipeline",
}
OPERATIONS = {
    "claim": "claim (database thread)",
    "record": "record (database thread)",
    "lines_after": "deliver (database thread)",
    "add_segments": "intake (database thread)",
}


class Watcher:
    """Books the CPU time of one thread to parts."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._main = threading.main_thread()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        ident = self._main.ident or 0
        clock = time.pthread_getcpuclockid(ident)
        before = time.clock_gettime(clock)
        while not self._stop.wait(EVERY_S):
            part = _part_of(sys._current_frames().get(ident))  # noqa: SLF001
            now = time.clock_gettime(clock)
            self.seconds[part] += now - before
            before = now

    def time_operations(self) -> None:
        """Time every database operation by the clock of the thread that runs it."""
        run = engine._SQLiteThread._in_transaction  # noqa: SLF001

        def timed(thread: Any, operation: Callable[..., Any]) -> Any:
            began = time.thread_time()
            try:
                return run(thread, operation)
            finally:
                name = _name_of(operation)
                self.seconds[OPERATIONS.get(name, "other (database thread)")] += time.thread_time() - began

        engine._SQLiteThread._in_transaction = timed  # type: ignore[method-assign]  # noqa: SLF001


def _name_of(operation: Callable[..., Any]) -> str:
    inner = [cell.cell_contents for cell in getattr(operation, "__closure__", None) or ()]
    return next((each.__name__ for each in inner if callable(each) and hasattr(each, "__name__")), "")


def _part_of(frame: Any) -> str:
    imports = False
    while frame is not None:
        file = frame.f_code.co_filename
        imports = imports or "importlib" in file
        for marker, part in PARTS.items():
            if f"/{marker}" in file:
                return "imports" if imports else part
        frame = frame.f_back
    return "imports" if imports else "event loop and HTTP protocol"


def main() -> None:
    from broker.cli import main as penstock

    watcher = Watcher()
    watcher.time_operations()
    watcher.start()
    status: Any = 0
    try:
        penstock()
    except SystemExit as end:
        status = end.code
    finally:
        watcher.stop()
        with open(sys.argv[2], "rb") as jobs:  # noqa: PTH123
            count = max(1, sum(1 for _ in jobs))
        for part, seconds in watcher.seconds.most_common():
            print(f"part\t{part}\t{seconds / count * 1e6:.1f}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
