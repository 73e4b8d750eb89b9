"""Tells processes of one machine which of their predecessors are dead: each holds a lock for as long as it lives.

The reaper needs half a minute to judge another machine's worker. A successor on the same machine knows at once.
"""

import fcntl
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

_ALIVE = ".alive"
_BEING_MADE = ".new"


class Lifeline:
    """Held with `with`, under the ids of this process's workers; whatever ends the process lets go of it."""

    def __init__(self, directory: Path, process_id: str, worker_ids: Collection[str]) -> None:
        self._path = directory / f"{process_id}{_ALIVE}"
        self._worker_ids = worker_ids
        self._file: int | None = None

    def __enter__(self) -> Self:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unnamed = self._path.with_suffix(_BEING_MADE)
        self._file = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        os.write(self._file, "\n".join(self._worker_ids).encode())
        unnamed.rename(self._path)  # nobody ever sees it without its lock
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave it to a successor if this process did not end as it should."""
        if error is None:
            self._path.unlink(missing_ok=True)
        if self._file is not None:
            os.close(self._file)
            self._file = None


class Fallen:
    """A process that died: its workers start no call any more."""

    def __init__(self, path: Path, file: int) -> None:
        self._path = path
        self._file = file
        self.worker_ids = os.pread(file, 1 << 16, 0).decode(errors="replace").split()

    def close(self, *, buried: bool) -> None:
        """Let go of it; it is forgotten once its calls are closed."""
        if buried:
            self._path.unlink(missing_ok=True)
        os.close(self._file)


def fallen(directory: Path) -> Iterator[Fallen]:
    """Processes of this machine that died without a goodbye; each must be closed."""
    for path in sorted(directory.glob(f"*{_ALIVE}")):
        try:
            file = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            continue
        yield Fallen(path, file)
