"""A real database that a test can take away, and a way to wait for what other tasks do."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from broker.errors import StoreUnavailable
from broker.store.engine import Database, Operation

P = ParamSpec("P")
T = TypeVar("T")


class FragileDatabase:
    """Passes everything on to a real database, and counts it; but for what the test wants to fail."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.url = database.url
        self.down = False
        """Nothing gets through."""
        self.losing: set[Callable[..., Any]] = set()
        """Operations that are committed, and then it is not known."""
        self.failing: set[Callable[..., Any]] = set()
        """Operations that do not get through."""
        self.before: Callable[[Callable[..., Any]], None] = lambda _: None
        """Told of each operation that gets through, just before it runs."""
        self.calls: Counter[Callable[..., Any]] = Counter()
        """Every operation that was asked for, done or not."""

    async def write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self._enter(operation)
        done = await self._database.write(operation, *args, **kwargs)
        self._leave(operation)
        return done

    async def read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self._enter(operation)
        found = await self._database.read(operation, *args, **kwargs)
        self._leave(operation)
        return found

    async def close(self) -> None:
        await self._database.close()

    def _enter(self, operation: Callable[..., Any]) -> None:
        self.calls[operation] += 1
        if self.down or operation in self.failing:
            raise StoreUnavailable("taken away by the test")
        self.before(operation)

    def _leave(self, operation: Callable[..., Any]) -> None:
        if operation in self.losing:
            raise StoreUnavailable("the answer was lost, by wish of the test")


async def eventually(happened: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Let other tasks and threads run until something has happened; raises `TimeoutError`."""
    async with asyncio.timeout(timeout_s):
        while not happened():  # noqa: ASYNC110 - what is waited for knows nothing of the test
            await asyncio.sleep(0)
