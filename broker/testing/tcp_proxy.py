"""A TCP proxy that a test can cut, reset, silence, and take off the network."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_CHUNK = 65_536


class TcpProxy:
    """Passes bytes on between its clients and one server, as long as the test lets it."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.port = _free_port()
        self.connections = 0
        """Made so far."""

    async def listen(self) -> None:
        """Accept connections from now on; before, they are refused."""
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port)

    def refuse(self) -> None:
        """Accept no more connections; those that are there stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def cut(self) -> None:
        """Close every connection."""
        for writer in tuple(self._writers):
            writer.close()

    def reset(self) -> None:
        """End every connection with a TCP reset."""
        for writer in tuple(self._writers):
            held: socket.socket = writer.get_extra_info("socket")
            held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    def black_hole(self) -> None:
        """Keep connections, also new ones, and pass nothing on."""
        self._flowing.clear()

    def heal(self) -> None:
        """Pass bytes on again, those that were held back first."""
        self._flowing.set()

    async def close(self) -> None:
        """Go away with everything."""
        self.refuse()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            async with _held(writer, self._writers):
                far_reader, far_writer = await asyncio.open_connection(*self._target)
                async with _held(far_writer, self._writers), asyncio.TaskGroup() as both:
                    both.create_task(self._pass_on(reader, far_writer))
                    both.create_task(self._pass_on(far_reader, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def _held(writer: asyncio.StreamWriter, writers: set[asyncio.StreamWriter]) -> AsyncIterator[None]:
    writers.add(writer)
    try:
        yield
    finally:
        writers.discard(writer)
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def proxy(host: str, port: int, *, listening: bool = True) -> AsyncIterator[TcpProxy]:
    """Give a proxy in front of a server."""
    made = TcpProxy(host, port)
    if listening:
        await made.listen()
    try:
        yield made
    finally:
        await made.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
