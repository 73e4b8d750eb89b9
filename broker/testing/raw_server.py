"""A server on raw sockets that answers HTTP in whatever way a test says, also in ways no HTTP library would."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Heard:
    """What the server saw: heads and bodies of the requests, and how many connections were made."""

    def __init__(self) -> None:
        self.url = ""
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.gone = asyncio.Event()
        """The client closed its side while a handler was still at work."""

    async def request(self, reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = await reader.readexactly(length)
        self.heads.append(head)
        self.bodies.append(body)


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[int]:
    """Serve every connection with `handler`; at the end all connections are gone. Yields the port."""
    at_work: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await handler(reader, writer)
                await writer.drain()
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        at_work.add(task)
        task.add_done_callback(at_work.discard)

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as bound:
        yield bound.sockets[0].getsockname()[1]
    for task in tuple(at_work):
        task.cancel()
    if at_work:
        await asyncio.wait(at_work)


@asynccontextmanager
async def server(handler: Handler | None = None, *, heard: Heard | None = None) -> AsyncIterator[Heard]:
    """Read one request of each connection, then leave it to `handler`, then close."""
    noted = heard or Heard()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        noted.connections += 1
        await noted.request(reader)
        if handler is not None:
            await handler(reader, writer)

    async with listening(connected) as port:
        noted.url = f"http://127.0.0.1:{port}/v1/chat/completions"
        yield noted


def says(*pieces: bytes) -> Handler:
    """Answer with these bytes, piece by piece."""

    async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return handler


def response(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """Put a response together; `length` is what it claims when that is not the truth."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with a TCP reset."""
    held: socket.socket = writer.get_extra_info("socket")
    held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
