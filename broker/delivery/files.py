"""Results into files that grow while the batch runs.

The files are written again from the first result whenever a run begins: so there is never a torn line, and a
crash needs no bookkeeping.
"""

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from broker.delivery.result_lines import WriteLine, holds_results, is_error, writer_of
from broker.domain.form import BatchForm
from broker.domain.result import ResultLine
from broker.errors import CallerError, StoreUnavailable
from broker.store import results
from broker.store.engine import Database

PAGE = 1_000
PAUSE_S = 0.2
"""Between two looks at the ledger: a page costs little more than a row."""
_MOST_CODES = 1_000
_OTHER_CODES = "other"


class Order(StrEnum):
    """How the output is ordered."""

    COMPLETION = "completion"
    INPUT = "input"
    """Grows by its contiguous prefix."""


class OutputNotWritten(CallerError):
    """A file could not be written; what belongs into it is safe in the ledger."""

    code = "output_not_written"


class OutputFiles:
    """The output file and, where there is one, the error file."""

    def __init__(self, output: Path, errors: Path | None) -> None:
        self._output = output
        self._errors = errors
        self._paths = tuple(path for path in (output, errors) if path is not None)
        self._files: list[BinaryIO] = []
        self._whole = threading.Lock()
        """Held while lines are written: an abort closes the files between two pages, not within one."""
        self._failed = False

    def check(self, others: Mapping[Path, str]) -> None:
        """Raise `CallerError` when a file cannot be written, or is one of `others` (what is read, and in words).

        Makes missing folders, and no file.
        """
        self._check_distinct(others)
        for path in self._paths:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise CallerError(f"{path}: {error.filename} is no folder; name another file") from error
            if path.is_dir():
                raise CallerError(f"{path} is a folder; name a file in it")
            if not os.access(path if path.exists() else path.parent, os.W_OK):
                raise CallerError(f"{path} may not be written by this user; name another file")

    def _check_distinct(self, others: Mapping[Path, str]) -> None:
        named = [(self._output, "--output"), (self._errors, "--errors"), *others.items()]
        seen: dict[Path, str] = {}
        for path, name in named:
            if path is None or (path.exists() and not path.is_file()):
                continue
            other = seen.setdefault(path.resolve(), name)
            if other != name:
                raise CallerError(f"{other} and {name} are the same file, {path}; name another one")

    def foreign(self) -> Path | None:
        """The first of the files that holds something else than results."""
        return next((path for path in self._paths if not holds_results(path)), None)

    def occupied(self) -> Path | None:
        """The first of the files that holds anything."""
        return next((path for path in self._paths if path.is_file() and path.stat().st_size), None)

    def __enter__(self) -> Self:
        """Open (and empty) the files; raises `CallerError`."""
        try:
            self._files = [path.open("wb", buffering=1 << 20) for path in self._paths]
        except OSError as error:
            raise CallerError(f"{error.filename}: cannot be written: {error.strerror}; name another file") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._whole:
            for path, file in zip(self._paths, self._files, strict=True):
                try:
                    file.close()
                except OSError as problem:
                    if error is None and not self._failed:  # what is told already is not told again
                        raise _not_written(path, problem) from problem

    def write(self, page: Sequence[ResultLine], write_line: WriteLine) -> None:
        """Append results and make them visible to readers; raises `OutputNotWritten`."""
        parts: list[list[bytes]] = [[] for _ in self._files]
        output, errors = parts[0], parts[-1]
        for result in page:
            (errors if is_error(result) else output).append(write_line(result))
        with self._whole:
            for path, file, lines in zip(self._paths, self._files, parts, strict=True):
                try:
                    file.write(b"".join(lines))
                    file.flush()
                except OSError as problem:
                    self._failed = True
                    raise _not_written(path, problem) from problem


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when it is written to its end; a device or a pipe is written directly."""
    path = path.resolve()
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class Export:
    """Copies a batch's results to files as they are committed; a cursor that never skips a row."""

    def __init__(self, database: Database, batch_id: int, files: OutputFiles, order: Order, form: BatchForm) -> None:
        self._database = database
        self.batch_id = batch_id
        self._files = files
        self._order = order
        self._write_line = writer_of(form)
        self.written = 0
        self.error_codes: Counter[str] = Counter()
        """Of the rows that did not succeed."""

    async def catch_up(self) -> None:
        """Write everything that is committed and not written yet; raises `OutputNotWritten`, `StoreUnavailable`."""
        read: Callable[..., Sequence[ResultLine]] = results.lines_after
        if self._order is Order.INPUT:
            read = results.lines_from
            # A row that is long in coming: what is behind it is not read again and again.
            if not await self._database.read(read, self.batch_id, self.written, 1):
                return
        while page := await self._database.read(read, self.batch_id, self.written, PAGE):
            await asyncio.to_thread(self._files.write, page, self._write_line)
            self.written += len(page)
            for result in page:
                if is_error(result):
                    self._count(result.error_code or _OTHER_CODES)
            if len(page) < PAGE:
                return

    async def follow(self, over: asyncio.Event) -> None:
        """Catch up again and again until it is `over`. A database that does not answer is asked again."""
        while not over.is_set():
            try:
                async with asyncio.timeout(PAUSE_S):
                    await over.wait()
            except TimeoutError:
                pass
            else:
                return
            try:
                await self.catch_up()
            except StoreUnavailable:
                continue

    def _count(self, code: str) -> None:
        known = code in self.error_codes or len(self.error_codes) < _MOST_CODES
        self.error_codes[code if known else _OTHER_CODES] += 1


def _not_written(path: Path, problem: OSError) -> OutputNotWritten:
    return OutputNotWritten(f"{path} cannot be written: {problem.strerror or problem}")
