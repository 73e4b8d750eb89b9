"""Finds repeated `custom_id`s on disk, so that memory does not grow with the batch.

Names are spread by hash over buckets, whose chunks lie mixed in one temporary file; equal names meet in one bucket,
and one bucket at a time fits in memory (20 million names of 40 bytes: 3 MB each).
"""

import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from broker.errors import CallerError
from broker.intake.problems import Problem, ProblemCode, Unit, shown

_BUCKETS = 256
_PENDING_CHARACTERS = 8 * 1024 * 1024
_NOTE_CHARACTERS = 100
"""What a note costs in memory besides its name, roughly."""


class DuplicateFinder:
    """Takes every row's `custom_id`, then tells which came again.

    A context manager; its file has no name, so that it goes with the process whatever happens.
    """

    def __init__(
        self, directory: Path, *, unit: Unit = Unit.LINE, pending_characters: int = _PENDING_CHARACTERS
    ) -> None:
        try:
            self._file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115  # closed by `__exit__`
        except OSError as error:
            raise CallerError(f"no temporary file can be made in {directory}: {error.strerror}") from error
        self._directory = directory
        self._unit = unit
        self._limit = pending_characters
        self._pending = 0
        self._notes: list[list[str]] = [[] for _ in range(_BUCKETS)]
        self._chunks: list[array[int]] = [array("q") for _ in range(_BUCKETS)]
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def add(self, custom_id: str, *, line: int, position: int) -> None:
        """Note one name, which has no line breaks; rows come in the order of the file.

        Raises `CallerError` when the disk is full.
        """
        self._notes[hash(custom_id) % _BUCKETS].append(f"{line} {position} {custom_id}")
        self._pending += len(custom_id) + _NOTE_CHARACTERS
        if self._pending > self._limit:
            self._write()

    def duplicates(self) -> Iterator[Problem]:
        """A problem for every use of a name but the first; in the order of the file within a bucket only."""
        self._write()
        for bucket in range(_BUCKETS):
            first: dict[str, str] = {}
            for note in self._read(bucket):
                line, position, custom_id = note.split(" ", 2)
                earlier = first.setdefault(custom_id, line)
                if earlier != line:
                    yield Problem(
                        line=int(line),
                        position=int(position),
                        code=ProblemCode.DUPLICATE_CUSTOM_ID,
                        message=f"custom_id {shown(custom_id)} was used before, {self._unit.at(int(earlier))}",
                        custom_id=custom_id,
                        unit=self._unit,
                    )

    def _write(self) -> None:
        try:
            for notes, chunks in zip(self._notes, self._chunks, strict=True):
                if notes:
                    chunk = "\n".join(notes).encode()
                    self._file.write(chunk)
                    chunks.extend((self._size, len(chunk)))
                    self._size += len(chunk)
                    notes.clear()
            self._file.flush()
        except OSError as error:
            raise CallerError(
                f"the names of the rows do not fit in {self._directory}: {error.strerror}; free some space"
            ) from error
        self._pending = 0

    def _read(self, bucket: int) -> Iterator[str]:
        chunks = self._chunks[bucket]
        for offset, size in zip(chunks[::2], chunks[1::2], strict=True):
            self._file.seek(offset)
            # By "\n" and not by `splitlines`, which also splits at characters that a name may contain.
            yield from self._file.read(size).decode().split("\n")
