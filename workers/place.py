"""A place in the fleet: one process after another fills it, until it is given up.

┌──────── it ended by itself: a pause, longer each time ────────┐
▼                                                               │
empty ─▶ begun ─▶ ready ──┬───────────────────────────────────────────────┘
├─ replaced: the next one is ready, then this one drains
└─ given up: it drains, and the place is gone
"""

import asyncio
import logging
from collections.abc import Callable

from broker.domain.clock import Clock
from workers.patience import happens
from workers.restarts import Restarts
from workers.supervised import Supervised

log = logging.getLogger("penstock.fleet")


class Place:
    """Keeps a process running. `begin` makes one; `patience_s` is how long one may take to finish its calls."""

    def __init__(
        self, name: str, *, begin: Callable[[], Supervised], patience_s: float, restarts: Restarts, clock: Clock
    ) -> None:
        self.name = name
        self.patience_s = patience_s
        self._begin = begin
        self._restarts = restarts
        self._clock = clock
        self._processes: asyncio.TaskGroup | None = None
        self._alive: set[Supervised] = set()
        self._current: Supervised | None = None
        self._next: Supervised | None = None
        """Begun to replace the current one."""
        self._hurry = asyncio.Event()
        self._given_up = False
        self.lost: list[str] = []
        """How processes ended that were told to finish and did not."""

    @property
    def ready(self) -> bool:
        """Whether a process is ready here that stays."""
        return not self._given_up and any(one is not None and one.up for one in (self._current, self._next))

    @property
    def given_up(self) -> bool:
        return self._given_up

    async def run(self) -> None:
        """Keep the place filled. Returns when it was given up and its last process has ended."""
        async with asyncio.TaskGroup() as self._processes:
            while not self._given_up:
                self._current = current = self._next or self._start(self._processes)
                self._next = None
                await current.ended.wait()
                if not self._given_up and self._next is None:
                    await self._rest(current)

    def give_up(self) -> None:
        """Let the processes drain, and start no other."""
        self._given_up = True
        self._hurry.set()
        for process in tuple(self._alive):
            self._dismiss(process)

    def kill(self) -> None:
        """End the processes at once, and start no other."""
        self._given_up = True
        self._hurry.set()
        for process in tuple(self._alive):
            process.kill()

    async def replace(self, *, ready_within_s: float) -> bool:
        """Begin another process; when it is ready, let the present one drain, and wait for its end.

        Returns false when the new one did not become ready: then the present one stays.
        """
        if self._given_up or self._processes is None:
            return True
        before = self._current
        self._next = after = self._start(self._processes)
        self._hurry.set()  # an empty place takes it at once
        await happens(after.settled, within_s=ready_within_s, clock=self._clock)
        if self._given_up:
            return True
        if not after.up:
            why = after.ending.words() if after.ending else f"was not ready within {ready_within_s:g} s"
            if after is self._next:  # else the present one has ended, and this one has the place already
                self._next = None
                self._dismiss(after)
            log.error("%s: the new process %s", self.name, why)
            return False
        if before is not None and before in self._alive:
            self._dismiss(before)
            await before.ended.wait()
        return True

    def _start(self, processes: asyncio.TaskGroup) -> Supervised:
        process = self._begin()
        self._alive.add(process)
        processes.create_task(self._live(process))
        return process

    async def _live(self, process: Supervised) -> None:
        try:
            await process.run()
        finally:
            self._alive.discard(process)

    def _dismiss(self, process: Supervised) -> None:
        if self._processes is not None and not process.told and not process.ended.is_set():
            self._processes.create_task(self._part_with(process))

    async def _part_with(self, process: Supervised) -> None:
        process.terminate()
        if not await happens(process.ended, within_s=self.patience_s, clock=self._clock):
            log.error(
                "%s: process %s did not finish within %g s and is killed", self.name, process.pid, self.patience_s
            )
            process.kill()
            await process.ended.wait()
        if process.ready and process.ending is not None and process.ending.status != 0:
            self.lost.append(f"{self.name} {process.ending.words()}")

    async def _rest(self, ended: Supervised) -> None:
        if ended.ending is None:
            return
        pause_s = self._restarts.pause_after(ended.ending)
        log.log(
            logging.ERROR if ended.ending.refused else logging.WARNING,
            "%s: process %s %s; %s; another one begins in %.1f s",
            self.name,
            ended.pid,
            ended.ending.words(),
            f"the {_ordinal(self._restarts.in_a_row)} time in a row",
            pause_s,
        )
        self._hurry.clear()
        if not self._given_up and self._next is None:
            await happens(self._hurry, within_s=pause_s, clock=self._clock)


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in {11, 12, 13} else "th"
    return f"{number}{ending}"
