"""A simulated provider in a process of its own, for tests and benchmarks that kill or overload everything else."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import orjson

from broker.testing.judge import Row, paid_calls

_START_S = 20.0
_STOP_S = 10.0


class Simulator:
    """A simulator that runs elsewhere, and its own pages."""

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self.pid = pid
        self.base_url = f"{url}/v1"

    def ledger(self) -> list[Row]:
        """Every call it was paid for."""
        return paid_calls(self._page("/sim/ledger"))

    def stats(self) -> Mapping[str, Any]:
        """Its counters."""
        stats: Mapping[str, Any] = orjson.loads(self._page("/sim/stats"))
        return stats

    def reset(self) -> None:
        """Open new books."""
        self._page("/sim/reset", b"")

    def _page(self, path: str, post: bytes | None = None) -> bytes:
        with urlopen(self.url + path, post, timeout=30) as response:  # noqa: S310 - our own process, on loopback
            page: bytes = response.read()
        return page


@contextmanager
def simulator(folder: Path, config: str) -> Iterator[Simulator]:
    """Run one with this TOML for as long as the block runs; raises `RuntimeError` when it does not start."""
    file = folder / "sim.toml"
    file.write_text(f"port = 0\n{config}", encoding="utf-8")
    command = [sys.executable, "-m", "workers.provider_sim", "--config", str(file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own program
    try:
        yield Simulator(_announced(process), process.pid)
    finally:
        process.terminate()
        process.communicate(timeout=_STOP_S)


def _announced(process: "subprocess.Popen[str]") -> str:
    """Wait for the line that says where it listens."""
    if process.stdout is not None:
        for line in process.stdout:
            if " ready at " in line:
                return line.partition(" ready at ")[2].split()[0]
    raise RuntimeError(f"the simulator ended with status {process.wait(_START_S)} before it listened")
