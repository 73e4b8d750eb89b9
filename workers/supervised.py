"""One process of a worker, from its start to its end."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager

from broker.domain.clock import Clock
from workers.launching import Launch
from workers.parent import PARENT_FD, READY, READY_FD
from workers.restarts import Ending

Write = Callable[[bytes], None]

LONGEST_LINE = 64 * 1024
"""A longer line is passed on in pieces."""
_CHUNK = 64 * 1024
_LAST_WORDS_S = 1.0
"""How long its output is still read once a process has ended: what it started may hold the pipe open for ever."""


class Supervised:
    """A process that is started, listened to, told to end, and waited for. It lives as long as `run`.

    `out` and `err` get whole lines of its standard output and error, with its name in front. `parent` is the pipe
    by which it notices that this process is gone.
    """

    def __init__(self, name: str, launch: Launch, *, out: Write, err: Write, parent: int, clock: Clock) -> None:
        self.name = name
        self._launch = launch
        self._prefix = f"[{name}] ".encode()
        self._out = out
        self._err = err
        self._parent = parent
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None
        self._told: signal.Signals | None = None
        self.settled = asyncio.Event()
        """It is ready, or has ended."""
        self.ended = asyncio.Event()
        self.ending: Ending | None = None
        self.ready = False

    @property
    def up(self) -> bool:
        """Whether it is ready and has not ended."""
        return self.ready and not self.ended.is_set()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def told(self) -> bool:
        """Whether it was told to end."""
        return self._told is not None

    async def run(self) -> None:
        """Start the process and wait for its end. Cancelled, it is told to end, and has ended when this returns."""
        began = self._clock.monotonic()
        status, trouble = None, ""
        try:
            status = await self._live()
        except (OSError, subprocess.SubprocessError) as error:
            trouble = str(error)
        finally:
            self.ending = Ending(status=status, ran_s=self._clock.monotonic() - began, trouble=trouble)
            self.ended.set()
            self.settled.set()

    def terminate(self) -> None:
        """Tell it, once, to finish what is in flight and end: a second time would mean to give that up."""
        if self._told is None:
            self._tell(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._tell(signal.SIGKILL)

    def _tell(self, number: signal.Signals) -> None:
        self._told = number
        if self._process is not None and not self.ended.is_set():
            self._process.send_signal(number)

    async def _live(self) -> int:
        with ExitStack() as pipes:
            out, err, ready = _Pipe(pipes), _Pipe(pipes), _Pipe(pipes)
            self._process = await asyncio.create_subprocess_exec(
                *self._launch.command,
                env={**self._launch.environment, READY_FD: str(ready.write), PARENT_FD: str(self._parent)},
                stdin=subprocess.DEVNULL,
                stdout=out.write,
                stderr=err.write,
                pass_fds=(ready.write, self._parent),
                start_new_session=True,  # Ctrl-C in a terminal is for the fleet, which tells its workers itself
            )
            for pipe in (out, err, ready):
                pipe.close_write()
            if self._told is not None:  # while it was being started
                self._tell(self._told)
            async with asyncio.TaskGroup() as tasks:
                listening = [
                    tasks.create_task(self._pass_on(out, self._out)),
                    tasks.create_task(self._pass_on(err, self._err)),
                ]
                announced = tasks.create_task(self._hear_ready(ready))
                try:
                    status = await self._process.wait()
                except asyncio.CancelledError:
                    self.terminate()
                    await self._process.wait()
                    raise
                finally:
                    announced.cancel()
                await asyncio.wait(listening, timeout=_LAST_WORDS_S)
                for task in listening:
                    task.cancel()
        return status

    async def _pass_on(self, pipe: "_Pipe", write: Write) -> None:
        rest = b""
        try:
            async with pipe.reading() as reader:
                while chunk := await reader.read(_CHUNK):
                    *lines, rest = (rest + chunk).split(b"\n")
                    if len(rest) >= LONGEST_LINE:
                        lines.append(rest)
                        rest = b""
                    if lines:
                        write(b"".join(b"%s%s\n" % (self._prefix, line) for line in lines))
        finally:
            if rest:
                write(b"%s%s\n" % (self._prefix, rest))

    async def _hear_ready(self, pipe: "_Pipe") -> None:
        async with pipe.reading() as reader:
            try:
                said = await reader.readexactly(len(READY))
            except asyncio.IncompleteReadError:
                return
        if said == READY:
            self.ready = True
            self.settled.set()


class _Pipe:
    """A pipe from a process to this one."""

    def __init__(self, closing: ExitStack) -> None:
        self._read, self.write = os.pipe()
        self._open = {self._read, self.write}
        closing.callback(self._close)

    def close_write(self) -> None:
        """Leave the writing end to the process alone, so that its end is the end of the pipe."""
        os.close(self.write)
        self._open.discard(self.write)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[asyncio.StreamReader]:
        reader = asyncio.StreamReader()
        file = os.fdopen(self._read, "rb", 0)
        self._open.discard(self._read)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), file
        )
        try:
            yield reader
        finally:
            transport.close()

    def _close(self) -> None:
        for descriptor in self._open:
            os.close(descriptor)
