"""The spool: paid answers that the database did not take yet, fsynced to local files.

One file per worker process, mode 0600, in a directory of mode 0700. A file is locked by the process that writes
it; a file that nobody holds is an orphan, and the next process to start replays it. A line is one report; a torn
last line was never promised to anyone.
"""

import base64
import fcntl
import os
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from broker.domain.report import Report

_REPORT: TypeAdapter[Report] = TypeAdapter(Report)
_SUFFIX = ".spool"


class Spool:
    """This process's own file; made when it is first needed."""

    def __init__(self, directory: Path, process_id: str) -> None:
        self._directory = directory
        self._path = directory / f"{process_id}{_SUFFIX}"
        self._file: int | None = None

    @property
    def in_use(self) -> bool:
        """Whether anything is in it."""
        return self._file is not None

    def append(self, reports: Sequence[Report]) -> None:
        """Keep reports; they survive a power cut once this returns. Raises `OSError`."""
        if self._file is None:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            _sync_directory(self._directory)
        _write_all(self._file, b"".join(_encode(report) + b"\n" for report in reports))
        os.fsync(self._file)

    def clear(self) -> None:
        """All that was appended is committed."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None


class Orphan:
    """The spool of a process that is gone, locked by us."""

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        self._file = file

    def reports(self) -> list[Report]:
        """What it holds; a torn or damaged line ends it."""
        found = []
        for line in self.path.read_bytes().splitlines(keepends=True):
            report = _decode(line) if line.endswith(b"\n") else None
            if report is None:
                break
            found.append(report)
        return found

    def close(self, *, committed: bool) -> None:
        """Let go of it; gone for good once what it held is committed."""
        if committed:
            self.path.unlink(missing_ok=True)
        os.close(self._file)


def orphans(directory: Path) -> Iterator[Orphan]:
    """Spools that no living process holds, oldest first; each must be closed."""
    for path in sorted(directory.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime):
        file = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            continue
        yield Orphan(path, file)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sync_directory(directory: Path) -> None:
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _encode(report: Report) -> bytes:
    return orjson.dumps(report, default=_plain)


def _plain(value: Any) -> str:
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case Decimal():
            return str(value)
        case _:
            raise TypeError(f"a report holds no {type(value).__name__}")


def _decode(line: bytes) -> Report | None:
    try:
        plain = orjson.loads(line)
        then = plain.get("then")
        if then and then.get("body") is not None:
            then["body"] = base64.b64decode(then["body"])
        return _REPORT.validate_python(plain)
    except (ValueError, ValidationError, AttributeError, TypeError):
        return None
