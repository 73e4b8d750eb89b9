"""Runs a simulated provider as a process of its own, until it is told to stop."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import uvloop

from workers.provider_sim.config import SimConfig
from workers.provider_sim.server import ProviderSim


def run(config: SimConfig, *, ready_file: Path | None, announce: Callable[[ProviderSim], None]) -> None:
    """Serve until SIGINT or SIGTERM. `announce` is called once it listens.

    `ready_file` gets the URL when the simulator listens; a file left by an earlier run is removed first.
    Raises `OSError` when it cannot listen or write the file.
    """
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)
    uvloop.run(_serve(config, ready_file, announce))


async def _serve(config: SimConfig, ready_file: Path | None, announce: Callable[[ProviderSim], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with ProviderSim(config) as sim:
        if ready_file is not None:
            _write_whole(ready_file, sim.url + "\n")
        announce(sim)
        await stop.wait()


def _write_whole(path: Path, text: str) -> None:
    # Renamed into place: a script that waits for the file must never read half a URL.
    draft = path.with_name(path.name + ".part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
