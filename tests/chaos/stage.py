"""What a scenario works on: a fleet with one batch, and chance that repeats."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from broker.errors import StoreUnavailable
from tests.chaos.installation import Installation
from tests.chaos.running import Running

POOL = "pool"
"""The account."""
_EARLIEST = 0.02
_LOOK_S = 0.05
LEAVE_S = 90.0
"""For processes that were asked to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a scenario is played."""

    jobs: int
    faults: int
    call_s: float
    """How long the provider takes for a call, on average."""
    within_s: float
    """It must have come to its end by then."""
    workers: int = 4
    slots: int = 8
    """Of each worker: calls that it may have in flight."""
    latest: float = 0.9
    """All faults have come when this share of the jobs has its result."""
    away_s: float = 0.0
    """How long a server is away at least."""


@dataclass(slots=True, kw_only=True)
class Stage:
    """One performance. What the scenario measures goes to `figures`, what it finds wrong to `broken`.

    `bound` counts the calls that were open in processes when they were killed: so much may be paid for twice.
    """

    fleet: Installation
    size: Size
    draw: random.Random
    serving: list[Running] = field(default_factory=list)
    workers: list[Running] = field(default_factory=list)
    batch_id: int = 0
    bound: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    """In seconds."""
    broken: list[str] = field(default_factory=list)

    def moments(self) -> list[int]:
        """Draw when the faults come: at so many results, each once, in order."""
        first, last = max(1, round(_EARLIEST * self.size.jobs)), round(self.size.latest * self.size.jobs)
        return sorted(self.draw.sample(range(first, last), self.size.faults))

    async def reached(self, results: int) -> None:
        """Wait until so many jobs have their result."""
        await self.fleet.done(self.batch_id, results, self.size.within_s)

    async def until(self, holds: Callable[[], Awaitable[bool]], what: str, within_s: float) -> None:
        """Wait until something holds; the database may be away meanwhile. Raises `TimeoutError`."""
        try:
            async with asyncio.timeout(within_s):
                while not await _answered(holds):  # noqa: ASYNC110 - it happens in other processes
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            raise TimeoutError(f"not within {within_s:g} s: {what}") from None

    async def kill(self, worker: Running) -> None:
        """Kill a worker, and add the calls that it had open to the bound."""
        worker.freeze()  # it claims nothing between our look and its death
        self.bound += await self.fleet.open_calls_of(worker)
        worker.kill()

    async def leave(self) -> None:
        """Ask the workers to end, and see that each does so in good order."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            status = await worker.ended(LEAVE_S)
            if status:
                self.broken.append(f"{worker.name} ended with status {status}: {worker.log[-500:]}")


Play = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A fault that comes again and again while a batch runs, and what it may cost."""

    name: str
    full: Size
    play: Play
    begin: Callable[[Stage], None]
    """Starts the processes."""


async def _answered(holds: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await holds()
    except StoreUnavailable:
        return False
