"""Where a batch file comes from, and its lines.

A source can be read more than once: standard input and pipes are copied to a temporary file first.
"""

import hashlib
import io
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from broker.errors import CallerError
from broker.intake.archives import unpacked

MAX_LINE_BYTES = 16 * 1024 * 1024
HEAD_BYTES = 4096
_READ_BYTES = 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_WHITESPACE = b" \t\r\n"
_SLACK = len(_BOM) + len(b"\r\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Input that can be read as often as needed."""

    name: str
    """For people: the path as given, or `standard input`."""
    path: Path


class Line(NamedTuple):
    """A line that is not blank, without the white space around it."""

    number: int
    """Counted from 1, blank lines included."""
    content: bytes
    whole: bool
    """False: longer than `MAX_LINE_BYTES`, and `content` is its first `HEAD_BYTES` only."""


@contextmanager
def opened_source(given: str, *, directory: Path, standard_input: BinaryIO) -> Iterator[Source]:
    """The source that the caller named, `-` being standard input; its copy in `directory`, if any, goes at the end.

    Raises `CallerError` when there is no such file, when it is a folder, or when it cannot be read or copied.
    """
    if given == "-":
        with _copied(standard_input, "standard input", directory) as source:
            yield source
        return
    path = Path(given)
    with _opened(path, given) as stream:
        if stat.S_ISREG(path.stat().st_mode):
            yield Source(name=given, path=path)
            return
        with _copied(stream, given, directory) as source:
            yield source


def digest(source: Source) -> str:
    """SHA-256, in hexadecimal, of the content as it was given: an archive's own bytes, not what is in it."""
    with _opened(source.path, source.name) as stream, read_errors(source.name):
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def open_content(source: Source) -> Iterator[io.BufferedReader]:
    """What is in the source, unpacked; raises `CallerError`, also while it is being read (within `read_errors`)."""
    with _opened(source.path, source.name) as stream, unpacked(stream, source.name) as content:
        yield content


@contextmanager
def open_lines(source: Source) -> Iterator[Iterator[Line]]:
    """The lines of the source, unpacked, without a byte order mark, blank ones left out.

    Raises `CallerError`, also while the lines are being read: not readable, a damaged or cut archive, UTF-16.
    """
    with open_content(source) as content:
        yield _lines(content, source.name)


def _lines(stream: io.BufferedReader, name: str) -> Iterator[Line]:
    number = 0
    with read_errors(name):
        while line := stream.readline(MAX_LINE_BYTES + _SLACK):
            number += 1
            if number == 1:
                line = without_bom(line, name)
            content = line.strip(_WHITESPACE)
            if len(line) < MAX_LINE_BYTES:
                if content:
                    yield Line(number, content, True)
                continue
            if line.endswith(b"\n") or not _skip_line(stream):
                if content:
                    whole = len(content) <= MAX_LINE_BYTES
                    yield Line(number, content if whole else content[:HEAD_BYTES], whole)
            else:
                yield Line(number, content[:HEAD_BYTES], False)


def _skip_line(stream: io.BufferedReader) -> bool:
    """Read on behind the end of the line without keeping it; whether there was any more of it."""
    skipped = False
    while piece := stream.readline(_READ_BYTES):
        skipped = skipped or not piece.isspace()
        if piece.endswith(b"\n"):
            break
    return skipped


def without_bom(line: bytes, name: str) -> bytes:
    """The first bytes of an input without a byte order mark; raises `CallerError` for UTF-16."""
    if line.startswith(_UTF16_BOMS):
        raise CallerError(f"{name} is UTF-16; save it as UTF-8")
    return line.removeprefix(_BOM)


@contextmanager
def _opened(path: Path, name: str) -> Iterator[io.BufferedReader]:
    try:
        stream: io.BufferedReader = io.BufferedReader(io.FileIO(path), _READ_BYTES)
    except FileNotFoundError as error:
        raise CallerError(f"{name} does not exist; check the path (relative ones start at {Path.cwd()})") from error
    except IsADirectoryError as error:
        raise CallerError(f"{name} is a folder; name one batch file in it") from error
    except PermissionError as error:
        raise CallerError(f"{name} may not be read by this user; change its permissions") from error
    except (OSError, ValueError) as error:
        raise CallerError(f"{name} cannot be opened: {_reason(error)}; check the path") from error
    with stream:
        yield stream


@contextmanager
def read_errors(name: str) -> Iterator[None]:
    """Raises `CallerError` for what the disk cannot read; `name` is for people."""
    try:
        yield
    except OSError as error:
        raise CallerError(f"{name} cannot be read: {_reason(error)}; check the disk and copy it again") from error


@contextmanager
def _copied(stream: BinaryIO, name: str, directory: Path) -> Iterator[Source]:
    try:
        copy = tempfile.NamedTemporaryFile(dir=directory, prefix="penstock-input-")  # noqa: SIM115  # closed just below
    except OSError as error:
        raise CallerError(f"{name} cannot be copied to {directory}: {_reason(error)}; name another folder") from error
    with copy:
        try:
            shutil.copyfileobj(stream, copy, _READ_BYTES)
            copy.flush()
        except OSError as error:
            raise CallerError(
                f"{name} cannot be copied to {directory}: {_reason(error)}; free some space or name another folder"
            ) from error
        yield Source(name=name, path=Path(copy.name))


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
