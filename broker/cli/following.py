"""Prints the results of a batch as they come: a cursor that never skips a row, and outlasts the database's absence."""

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from broker.cli.opened import existing
from broker.cli.signals import Aborted, interruptible
from broker.delivery.result_lines import writer_of
from broker.domain.batch import TERMINAL, Batch, BatchState
from broker.domain.form import BatchForm
from broker.errors import StoreUnavailable
from broker.store import batches
from broker.store import results as ledger
from broker.store.engine import Database

PAGE = 500
LOOK_S = 0.25
ASK_AGAIN_S = 1.0
"""After the database did not answer."""


class Following:
    """A reader of one batch's results."""

    def __init__(
        self, batch_id: int, after: int, state: str | None, *, say: Callable[[str], None] = lambda _: None
    ) -> None:
        self.seen = after
        """The result up to which everything is written: where the next reader goes on."""
        self._batch_id = batch_id
        self._state = state
        self._say = say
        self._stop = asyncio.Event()
        self._away = False

    async def run(self, url: str, output: Path | None, check: Callable[[Sequence[Batch]], None]) -> bool:
        """Follow the batch to its end, into a file or to standard output; `False` when a signal came before that.

        `check` is given the batches whose output the file must not be.
        """
        async with existing(url) as database:
            check(await claimants(database, self._batch_id))
            with _growing(output, append=self.seen > 0) as file:
                try:
                    return await interruptible(self.follow(database, file), drain=self.stop)
                except Aborted:
                    return False

    async def follow(self, database: Database, file: BinaryIO) -> bool:
        """Copy what there is, again and again, until the batch has ended (`True`) or `stop` (`False`)."""
        while not self._stop.is_set():
            try:
                batch = await database.read(batches.get, self._batch_id)  # before the rows: none comes behind its end
                await self.catch_up(database, file, batch.form)
            except StoreUnavailable as error:
                self._tell_away(error)
                await self._pause(ASK_AGAIN_S)
                continue
            self._tell_back()
            if batch.state in TERMINAL and not self._stop.is_set():
                return True
            await self._pause(LOOK_S)
        return False

    async def catch_up(self, database: Database, file: BinaryIO, form: BatchForm) -> None:
        """Copy what there is, page by page, in the form of the batch."""
        write_line = writer_of(form)
        while page := await database.read(ledger.lines_after, self._batch_id, self.seen, PAGE):
            file.write(b"".join(write_line(line) for line in page if self._state in (None, line.state)))
            file.flush()
            self.seen = page[-1].seq
            if self._stop.is_set():
                return

    def stop(self) -> None:
        """Write no further page."""
        self._stop.set()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return

    def _tell_away(self, error: StoreUnavailable) -> None:
        if not self._away:
            self._say(f"the database does not answer ({error}); waiting for it, {self.seen} results are written")
        self._away = True

    def _tell_back(self) -> None:
        if self._away:
            self._say("the database answers again")
        self._away = False


async def claimants(database: Database, batch_id: int) -> list[Batch]:
    """This batch and all that have not ended: their output belongs to the process that runs them."""
    unfinished = await database.read(batches.in_state, *(set(BatchState) - TERMINAL))
    return [await database.read(batches.get, batch_id), *unfinished]


@contextmanager
def _growing(output: Path | None, *, append: bool) -> Iterator[BinaryIO]:
    if output is None:
        yield sys.stdout.buffer
        return
    with output.open("ab" if append else "wb") as file:
        yield file
