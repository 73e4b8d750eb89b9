"""A process of the fleet under test."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_LOOK_S = 0.02


class Running:
    """Started at once, in a folder, with a log file of its own; it does not outlive the thread that started it."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                # Whoever runs this under nohup does not mean that a fleet is to be deaf to hangups
                ["setpriv", "--pdeathsig=KILL", "env", "--default-signal=HUP", *command],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def holds(self, suffix: str) -> Path | None:
        """Find the file of this kind that it has open."""
        for descriptor in Path(f"/proc/{self.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed in between
                path = descriptor.readlink()
                if path.suffix == suffix:
                    return path
        return None

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal; `None` while it runs."""
        return self._process.poll()

    @property
    def log(self) -> str:
        """All that it has said."""
        return self._log.read_text(errors="replace")

    def freeze(self) -> None:
        """Let it stand still, until it is thawed or killed."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash would, and wait for that; harmless when it has ended."""
        self._process.kill()
        self._process.wait()

    def kill_family(self) -> None:
        """End it together with the processes that it has started, which would wait for servers that are gone."""
        children: list[str] = []
        if self.status is None:  # else its number may be another process's by now
            for threads in Path(f"/proc/{self.pid}/task").glob("*/children"):
                children += threads.read_text().split()
        self.kill()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)

    def hang_up(self) -> None:
        """Send a hangup, at which a fleet replaces its workers."""
        self._process.send_signal(signal.SIGHUP)

    def terminate(self) -> None:
        """Ask it to finish what it does and end."""
        self._process.terminate()

    async def ended(self, within_s: float) -> int:
        """Wait for its end; returns the exit status, raises `TimeoutError`."""
        async with asyncio.timeout(within_s):
            while (status := self.status) is None:  # noqa: ASYNC110 - what we wait for is another process
                await asyncio.sleep(_LOOK_S)
        return status
