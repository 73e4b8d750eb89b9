"""What a run shows while it goes on: a live view on a terminal, a plain line now and then elsewhere.

A view goes to standard error, and never fails: a terminal that is gone must not cost a paid call.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from broker.batch_run import View
from broker.cli.figures import compact, count, duration, money, percent, plural, rate
from broker.cli.frame import Line, frame, reading
from broker.cli.reasons import state_in_words
from broker.domain.batch import TERMINAL, Batch
from broker.domain.clock import Clock
from broker.progress import Progress

PLAIN_EVERY_S = 5.0
READING_EVERY_S = 0.25


class Every:
    """Lets through one in so many seconds."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        self._next = float("-inf")

    def due(self) -> bool:
        now = self._clock.monotonic()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


class PlainView:
    """A line every few seconds, for logs."""

    def __init__(self, write: Callable[[str], None], source: str, clock: Clock) -> None:
        self._write = write
        self._source = source
        self._reading = Every(PLAIN_EVERY_S, clock)
        self._reading.due()  # a short input needs no line
        self._showing = Every(PLAIN_EVERY_S, clock)
        self._stopping = False

    def receiving(self, rows: int) -> None:
        if self._reading.due():
            self._write(f"reading {self._source}: {count(rows)} rows")

    def accepted(self, batch: Batch, *, resumed: bool) -> None:
        self._write(_began(batch, resumed=resumed))
        self._showing.due()

    def show(self, progress: Progress) -> None:
        if progress.stopping and not self._stopping:
            self._stopping = True
            self._write(f"stopping: waiting for {plural(progress.in_flight, 'call')} in flight")
        if self._showing.due():
            self._write(plain_line(progress))


class LiveView:
    """A few lines that are written over again and again."""

    def __init__(self, live: Live, source: str, clock: Clock) -> None:
        self._live = live
        self._source = source
        self._reading = Every(READING_EVERY_S, clock)

    def receiving(self, rows: int) -> None:
        if self._reading.due():
            self._draw([reading(self._source, rows, width=self._live.console.width)])

    def accepted(self, batch: Batch, *, resumed: bool) -> None:
        with suppress(OSError):
            self._live.console.print(_began(batch, resumed=resumed), highlight=False, markup=False)

    def show(self, progress: Progress) -> None:
        size = self._live.console.size
        self._draw(frame(progress, width=size.width, height=size.height - 1))

    def _draw(self, lines: list[Line]) -> None:
        with suppress(OSError):
            self._live.update(_text(lines), refresh=True)


class _LastingConsole(Console):
    """One that goes quiet when its reader is gone, where rich would end the process."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


@contextmanager
def view_for(source: str, clock: Clock, stream: TextIO | None = None) -> Iterator[View]:
    """The view that suits standard error."""
    stream = stream or sys.stderr
    if not stream.isatty():
        yield PlainView(lambda line: _write(stream, line), source, clock)
        return
    console = _LastingConsole(file=stream, soft_wrap=False)
    live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False, vertical_overflow="crop")
    live.start()
    try:
        yield LiveView(live, source, clock)
    finally:
        with suppress(OSError):
            live.stop()


def plain_line(progress: Progress) -> str:
    """How it stands, in one line."""
    counts = progress.batch.counts
    share = counts.finished / counts.total if counts.total else 1.0
    parts = [
        f"{count(counts.finished)} of {count(counts.total)} rows ({percent(share)})",
        f"{count(counts.failed)} failed",
        f"{count(progress.in_flight)} in flight",
        f"{rate(progress.rows_per_s)} rows/s",
        f"{compact(progress.tokens_per_s)} tokens/s",
        f"{money(progress.batch.cost)}",
        f"{duration(progress.eta_s)} left",
    ]
    if progress.trouble:
        parts.append(f"the database does not answer: {progress.trouble}")
    parts += [
        f"{account.name}: {state_in_words(account)}" for account in progress.accounts if account.reason is not None
    ]
    return ", ".join(parts)


def _began(batch: Batch, *, resumed: bool) -> str:
    source = Path(batch.source).name
    if not resumed:
        return f"batch {batch.id}: accepted {plural(batch.counts.total, 'row')} from {source}"
    left = batch.counts.total - batch.counts.finished
    if batch.state in TERMINAL:
        return f"batch {batch.id} has ended before: only its output is written again"
    return f"batch {batch.id}: going on with {plural(left, 'row')} of {count(batch.counts.total)} from {source}"


def _text(lines: list[Line]) -> Text:
    text = Text(no_wrap=True, overflow="crop")
    for number, line in enumerate(lines):
        if number:
            text.append("\n")
        for piece in line:
            text.append(piece.text, piece.style or None)
    return text


def _write(stream: TextIO, line: str) -> None:
    with suppress(OSError):
        stream.write(f"{line}\n")
        stream.flush()
