"""Results into files that grow while the batch runs.

The files are written again from the first result whenever a run begins: so there is never a torn line, and a
crash needs no bookkeeping.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from broker.delivery.openai_lines import is_error, output_line
from broker.domain.result import Result
from broker.errors import CallerError
from broker.store import results
from broker.store.engine import Database

PAGE = 500


class Order(StrEnum):
    """How the output is ordered."""

    COMPLETION = "completion"
    INPUT = "input"
    """Grows by its contiguous prefix."""


class OutputFiles:
    """The output file and, where there is one, the error file."""

    def __init__(self, output: Path, errors: Path | None) -> None:
        self._paths = (output, errors)
        self._files: list[BinaryIO] = []

    def __enter__(self) -> Self:
        """Open (and empty) the files; raises `CallerError`."""
        try:
            for path in self._paths:
                if path is not None:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    self._files.append(path.open("wb", buffering=1 << 20))
        except OSError as error:
            raise CallerError(f"{error.filename}: cannot be written: {error.strerror}; name another file") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files:
            file.close()

    def write(self, page: Sequence[Result]) -> None:
        """Append results and make them visible to readers."""
        output, errors = self._files[0], self._files[-1]
        for result in page:
            (errors if is_error(result) else output).write(output_line(result))
        for file in self._files:
            file.flush()


class Export:
    """Copies a batch's results to files as they are committed; a cursor that never skips a row."""

    def __init__(self, database: Database, batch_id: int, files: OutputFiles, order: Order) -> None:
        self._database = database
        self._batch_id = batch_id
        self._files = files
        self._order = order
        self.written = 0

    async def catch_up(self) -> None:
        """Write everything that is committed and not written yet."""
        read: Callable[..., Sequence[Result]] = (
            results.after if self._order is Order.COMPLETION else results.from_position
        )
        while page := await self._database.read(read, self._batch_id, self.written, PAGE):
            await asyncio.to_thread(self._files.write, page)
            self.written += len(page)

    async def follow(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Catch up again and again, after each `wait`, until cancelled."""
        while True:
            await self.catch_up()
            await wait()
