"""Compressed input, unpacked as a stream: gzip and zstd, of one member or many."""

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import zstandard

from broker.errors import CallerError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BUFFER_BYTES = 256 * 1024


class Decompressor(Protocol):
    """One gzip member or zstd frame, as zlib and zstandard both present it."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    name: str
    suffix: str
    magics: tuple[bytes, ...]
    start: Callable[[], Decompressor]
    slice_bytes: int
    """Fed at once. It bounds what a bomb can unpack to: zstd makes up to 32 KiB of a byte, gzip 1 KiB."""
    padding: bytes = b""
    """Bytes that may stand between and after members."""


_SKIPPABLE = tuple(bytes((kind, 0x2A, 0x4D, 0x18)) for kind in range(0x50, 0x60))
_FORMATS = (
    _Format(
        name="gzip",
        suffix=".gz",
        magics=(b"\x1f\x8b",),
        start=lambda: zlib.decompressobj(wbits=31),
        slice_bytes=16 * 1024,
        padding=b"\0",
    ),
    _Format(
        name="zstd",
        suffix=".zst",
        magics=(b"\x28\xb5\x2f\xfd", *_SKIPPABLE),
        start=lambda: zstandard.ZstdDecompressor().decompressobj(),
        slice_bytes=1024,
    ),
)


def unpacked(stream: io.BufferedReader, name: str) -> io.BufferedReader:
    """The stream, unpacked if it is an archive by its first bytes; `name` is for people.

    Raises `CallerError` when the name promises an archive that is none, and while reading when the archive is
    damaged or cut.
    """
    head = stream.peek(4)[:4]
    for form in _FORMATS:
        if head.startswith(form.magics):
            return io.BufferedReader(_Unpacked(stream, form, name), _BUFFER_BYTES)
        if head and name.endswith(form.suffix):
            raise CallerError(
                f"{name} ends in {form.suffix} but is no {form.name} archive; "
                "write it again, or rename it if it is not compressed"
            )
    return stream


class _Unpacked(io.RawIOBase):
    """The content of an archive.

    Unlike the readers of the standard library and zstandard, it bounds what one read may unpack and never takes a
    cut archive for a complete one.
    """

    def __init__(self, packed: io.BufferedReader, form: _Format, name: str) -> None:
        super().__init__()
        self._packed = packed
        self._form = form
        self._name = name
        self._member: Decompressor | None = None
        self._left = b""
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        while not self._ready:
            if not self._unpack_more():
                return 0
        target = memoryview(buffer)
        count = min(len(target), len(self._ready))
        target[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _unpack_more(self) -> bool:
        piece = self._left or self._packed.read(self._form.slice_bytes)
        self._left = b""
        if not piece:
            if self._member is not None:
                raise CallerError(f"{self._name} is cut off: its {self._form.name} archive has no end; copy it again")
            return False
        if self._member is None:
            piece = piece.lstrip(self._form.padding)
            if not piece:
                return True
            self._member = self._form.start()
        try:
            self._ready = memoryview(self._member.decompress(piece))
        except (zlib.error, zstandard.ZstdError) as error:
            raise CallerError(
                f"{self._name} is a damaged {self._form.name} archive ({error}); copy or compress it again"
            ) from error
        if self._member.eof:
            self._left = self._member.unused_data
            self._member = None
        return True
