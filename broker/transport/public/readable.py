"""A connection that survives messages whose properties cannot be read.

RabbitMQ passes properties on unread, so any program can publish a message id that is no UTF-8, or a time beyond the
calendar. The library would end the connection at such a message, get it again on the next one, and so on. Here its
properties are replaced by one header that says so, before the library sees them: then it can be put aside.
"""

import asyncio
import struct
from typing import Any, cast

import pamqp.frame
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from pamqp.commands import Basic
from pamqp.exceptions import PAMQPException
from pamqp.header import ContentHeader
from yarl import URL

UNREADABLE = "penstock-unreadable"
"""The one header of a message whose own properties could not be read."""
_FRAME = struct.Struct(">BHI")
_PROPERTIES_FRAME = 2
_BODY_SIZE = struct.Struct(">Q")
_BODY_SIZE_AT = 4
"""In the payload, behind the class and a field that is not used."""
_BROKEN = (
    PAMQPException,
    ValueError,
    OverflowError,
    ArithmeticError,
    LookupError,
    TypeError,
    struct.error,
    RecursionError,
)


def readable(frame: bytes) -> bytes:
    """Return the frame, with plain properties in place of those that cannot be read."""
    kind, channel, _ = _FRAME.unpack_from(frame)
    if kind != _PROPERTIES_FRAME:
        return frame
    try:
        pamqp.frame.unmarshal(frame)
    except _BROKEN:
        (size,) = _BODY_SIZE.unpack_from(frame, _FRAME.size + _BODY_SIZE_AT)
        properties = Basic.Properties(headers={UNREADABLE: True})
        return pamqp.frame.marshal(ContentHeader(body_size=size, properties=properties), channel)
    return frame


class ReadableStream:
    """The bytes of a server, frame by frame; has what the library asks of a stream."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._buffer = bytearray()

    def at_eof(self) -> bool:
        """Whether nothing will come any more."""
        return not self._buffer and self._reader.at_eof()

    async def readexactly(self, n: int) -> bytes:
        """Read so many bytes; raises `IncompleteReadError` where the stream ends before."""
        while len(self._buffer) < n:
            head = await self._reader.readexactly(_FRAME.size)
            if head.startswith(b"AMQP"):  # the server speaks another protocol, and says so without a frame
                self._buffer += head
                continue
            _, _, size = _FRAME.unpack(head)
            self._buffer += readable(head + await self._reader.readexactly(size + 1))
        given = bytes(self._buffer[:n])
        del self._buffer[:n]
        return given

    async def read(self, n: int = -1) -> bytes:
        """Read what is left."""
        return await self._reader.read(n)


class ReadableSockets(TransportFactory):
    """Opens the socket as the library would, and keeps it: a connection that hangs can only be ended there."""

    def __init__(self) -> None:
        self.writer: asyncio.StreamWriter | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, self.writer = await factory.create(url, **kwargs)
        return cast("asyncio.StreamReader", ReadableStream(reader)), self.writer

    def abort(self) -> None:
        """Cut the connection: no farewell, no waiting for what it still holds."""
        if self.writer is not None:
            self.writer.transport.abort()
