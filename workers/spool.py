"""The spool: paid answers that the database did not take yet, fsynced to local files.

One file per worker process, mode 0600, in a directory of mode 0700. A file is locked by the process that writes
it; a file that nobody holds is an orphan, and the next process to start replays it. A line is one report; a torn
last line was never promised to anyone.
"""

import base64
import fcntl
import json
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from broker.domain.report import Report

log = logging.getLogger("penstock.spool")

_REPORT: TypeAdapter[Report] = TypeAdapter(Report)
_SUFFIX = ".spool"
_DAMAGED = ".damaged"
_REFUSED = ".refused"


class Spool:
    """This process's own file; made when it is first needed. Its methods block, and may be called from any thread."""

    def __init__(self, directory: Path, process_id: str) -> None:
        self._directory = directory
        self._path = directory / f"{process_id}{_SUFFIX}"
        self._file: int | None = None
        self._size = 0
        """Of what is promised: bytes behind it are what a failed write left."""
        self._lock = threading.Lock()

    @property
    def in_use(self) -> bool:
        """Whether there is a file."""
        return self._file is not None

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._size

    def append(self, reports: Sequence[Report], *, durable: bool = True) -> None:
        """Keep reports; raises `OSError`, and then keeps none of them.

        Once this returns they survive the process, and a power cut if `durable`.
        """
        data = b"".join(_encode(report) + b"\n" for report in reports)
        with self._lock:
            if self._file is None:
                self._file = self._made()
            os.ftruncate(self._file, self._size)
            _write_all(self._file, data)
            if durable:
                os.fsync(self._file)
            self._size += len(data)

    def set_aside(self, reports: Sequence[Report]) -> Path:
        """Keep reports that the database will never take, for people to look at; raises `OSError`."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path.with_suffix(_REFUSED)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            _write_all(file, b"".join(_encode(report) + b"\n" for report in reports))
            os.fsync(file)
        finally:
            os.close(file)
        return path

    def empty(self) -> None:
        """All that was appended is committed, and more will come soon."""
        with self._lock:
            if self._file is not None and self._size:
                os.ftruncate(self._file, 0)
                self._size = 0

    def clear(self) -> None:
        """All that was appended is committed."""
        with self._lock:
            if self._file is not None:
                self._path.unlink(missing_ok=True)
                os.close(self._file)
                self._file, self._size = None, 0

    def leave(self) -> None:
        """Leave what is in it to whoever looks for orphans."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file, self._size = None, 0

    def _made(self) -> int:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                _sync_directory(self._directory)
                if os.fstat(file).st_nlink:
                    return file
            except BaseException:
                os.close(file)  # its lock would stop the next try
                raise
            os.close(file)  # another process took it for an orphan before it was locked, and removed it


class Orphan:
    """The spool of a process that is gone, locked by us."""

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        self._file = file
        self._damaged = False

    def reports(self) -> list[Report]:
        """What it holds. Lines that cannot be read are left out, but for a torn last line they were promised."""
        with open(self._file, "rb", closefd=False) as content:
            content.seek(0)
            found = [_decode(line) for line in content if line.endswith(b"\n")]
        reports = [report for report in found if report is not None]
        self._damaged = len(reports) < len(found)
        return reports

    def keep_aside(self) -> None:
        """Some of it was not taken by the database: the file is kept for people to look at."""
        self._damaged = True

    def close(self, *, committed: bool) -> None:
        """Let go of it; removed once what it held is committed, or put aside when some of it could not be read."""
        try:
            if committed and self._damaged:
                aside = self.path.with_name(self.path.name + _DAMAGED)
                self.path.rename(aside)
                log.error("%s holds answers that could not be read or stored; they were not committed", aside)
            elif committed:
                self.path.unlink(missing_ok=True)
        finally:
            os.close(self._file)


def orphans(directory: Path) -> Iterator[Orphan]:
    """Spools that no living process holds, oldest first; each must be closed."""
    for path in sorted(directory.glob(f"*{_SUFFIX}"), key=_written_at):
        file = _held(path)
        if file is not None:
            yield Orphan(path, file)


def _held(path: Path) -> int | None:
    """Open and lock a file that nobody holds; `None` where somebody does, or has replayed and removed it."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    if os.fstat(file).st_nlink:
        return file
    os.close(file)
    return None


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


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
    try:
        return orjson.dumps(report, default=_plain)
    except orjson.JSONEncodeError:  # half a surrogate pair, in what a producer or a provider said
        return json.dumps(asdict(report), default=_plain).encode()


def _plain(value: Any) -> str | list[Any]:
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case Decimal():
            return str(value)
        case tuple():  # a job's key: a named tuple
            return list(value)
        case _:
            raise TypeError(f"a report holds no {type(value).__name__}")


def _loaded(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return json.loads(line)


def _decode(line: bytes) -> Report | None:
    try:
        plain = _loaded(line)
        then = plain.get("then")
        if then and then.get("body") is not None:
            then["body"] = base64.b64decode(then["body"])
        return _REPORT.validate_python(plain)
    except (ValueError, ValidationError, AttributeError, TypeError):
        return None
