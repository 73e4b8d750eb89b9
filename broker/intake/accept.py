"""Accepts a batch file: every row checked, then all of it stored, or nothing.

Strict (the default): one bad row refuses the whole file, with every problem listed. Lenient: bad rows become
failed results, the others run. Nothing is fed before the last row is in.

The file is packed the same way each time, so an intake that was cut off goes on behind its last stored segment.
"""

import asyncio
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import Lock

from broker.domain.batch import BatchState
from broker.domain.result import ResultState
from broker.errors import CallerError
from broker.intake.duplicates import DuplicateFinder
from broker.intake.jsonl import Row, read_rows
from broker.intake.layout import LINES_OF_OPENAI, Layout
from broker.intake.problems import Problem, ProblemReport
from broker.intake.segments import SegmentPacker
from broker.intake.source import Source
from broker.store import manifest
from broker.store.engine import Database
from broker.store.finish import Finish, finish
from broker.store.manifest import NewBatch
from broker.store.segment import SegmentDraft

SEGMENTS_PER_COMMIT = 4
REFUSALS_PER_COMMIT = 500


class IntakeRefused(CallerError):
    """Rows that do not validate; `problems` are lines for people, the first hundred."""

    code = "invalid_rows"

    def __init__(self, source: str, bad: int, rows: int, problems: list[str]) -> None:
        super().__init__(f"{source}: {bad} of {rows} rows cannot be accepted; nothing was started")
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A batch that is in the manifest."""

    batch_id: int
    state: BatchState
    known: bool
    """It was accepted before: this is the same submission again."""


async def accept(
    database: Database,
    source: Source,
    new: NewBatch,
    *,
    routes: frozenset[str],
    scratch: Path,
    layout: Layout = LINES_OF_OPENAI,
    lenient: bool = False,
    replace: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Accepted:
    """Store a file as a batch, or find the batch that the same submission made.

    `layout` is how the file is written; the batch is opened with that form as its dialect.

    Raises `IntakeRefused`, `CallerError` for a file that cannot be read, and `SubmissionConflict` when the
    submission id belongs to another input and `replace` is not set.
    """
    batch_id, state = await database.write(manifest.open_batch, new, replace=replace)
    if state is not BatchState.RECEIVING:
        return Accepted(batch_id=batch_id, state=state, known=True)
    try:
        reading = _Reading(source, new, layout, routes, scratch, keep_refused=lenient)
        try:
            await _store(database, batch_id, reading, lenient=lenient, progress=progress)
        finally:
            await asyncio.to_thread(reading.close)
        if reading.report.total and not lenient:
            raise IntakeRefused(source.name, reading.report.total, reading.rows, reading.report.lines())
    except CallerError:
        await database.write(manifest.discard, batch_id)
        raise
    state = await database.write(manifest.seal, batch_id, reading.rows)
    return Accepted(batch_id=batch_id, state=state, known=False)


class _Reading:
    """One pass over a file, made in a thread: rows become segments, bad ones problems.

    Whoever is cancelled leaves a thread behind that is still reading: `close` waits for it.
    """

    def __init__(
        self,
        source: Source,
        new: NewBatch,
        layout: Layout,
        routes: frozenset[str],
        scratch: Path,
        *,
        keep_refused: bool,
    ) -> None:
        self.rows = 0
        self.report = ProblemReport()
        self.refused: list[Problem] = []
        """Problems whose results were not written yet (lenient only)."""
        self._keep_refused = keep_refused
        self._names = DuplicateFinder(scratch, unit=layout.unit)
        self._packer = SegmentPacker(new.on_loss)
        self._rows = read_rows(source, routes=routes, layout=layout, use=new.use)
        self._portions = self._read(self._rows)
        self._duplicates = self._names.duplicates()
        self._lock = Lock()

    def next(self) -> list[SegmentDraft] | None:
        """The next few segments, or none where many rows were bad; `None` at the end of the file."""
        with self._lock:
            return next(self._portions, None)

    def next_duplicates(self) -> bool:
        """Refuse the next few rows whose name was used before, after the end of the file; whether there were any."""
        with self._lock:
            problems = list(islice(self._duplicates, REFUSALS_PER_COMMIT))
            for problem in problems:
                self._refuse(problem)
            return bool(problems)

    def close(self) -> None:
        """Let go of the file, also when it was not read to its end."""
        with self._lock:
            self._rows.close()
            self._names.close()

    def _refuse(self, problem: Problem) -> None:
        self.report.add(problem)
        if self._keep_refused:
            self.refused.append(problem)

    def _read(self, rows: Generator[Row | Problem, None, None]) -> Iterator[list[SegmentDraft]]:
        drafts: list[SegmentDraft] = []
        for row in rows:
            self.rows += 1
            if isinstance(row, Problem):
                self._refuse(row)
            else:
                self._names.add(row.custom_id, line=row.line, position=row.position)
                drafts.extend(self._packer.add(row))
            if len(drafts) >= SEGMENTS_PER_COMMIT or len(self.refused) >= REFUSALS_PER_COMMIT:
                yield drafts
                drafts = []
        yield [*drafts, *self._packer.finish()]


async def _store(
    database: Database, batch_id: int, reading: _Reading, *, lenient: bool, progress: Callable[[int], None]
) -> None:
    stored = await database.read(manifest.segment_rows, batch_id)
    number = 0
    while (drafts := await asyncio.to_thread(reading.next)) is not None:
        progress(reading.rows)
        await _refuse(database, batch_id, reading)
        known = stored[number : number + len(drafts)]
        for row, draft in zip(known, drafts, strict=False):
            if (row.route, row.first_position, row.jobs) != (draft.route, draft.first_position, draft.count):
                raise _changed()
        new = drafts[len(known) :]
        # A bad row refuses the file (strict): what follows is checked, but no longer stored
        if new and (lenient or not reading.report.total):
            await database.write(manifest.add_segments, batch_id, number + len(known), new)
        number += len(drafts)
    if number < len(stored):
        raise _changed()
    while await asyncio.to_thread(reading.next_duplicates):
        await _refuse(database, batch_id, reading)
    progress(reading.rows)


async def _refuse(database: Database, batch_id: int, reading: _Reading) -> None:
    """Write the results of bad rows (lenient); a repeat after a crash finds them written."""
    problems, reading.refused = reading.refused, []
    if problems:
        ends = [
            Finish(
                position=problem.position,
                custom_id=problem.custom_id,
                state=ResultState.FAILED,
                error_code=problem.code,
                error_message=str(problem),
            )
            for problem in problems
        ]
        await database.write(finish, batch_id, ends)


def _changed() -> CallerError:
    return CallerError(
        "an earlier run stored part of this input under another configuration, and was cut off; "
        "that part has been dropped: run the same command again"
    )
