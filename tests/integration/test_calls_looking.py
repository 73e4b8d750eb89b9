"""Looks at pages of a server's own: quick, small, and never an exception."""

import asyncio

import pytest

from broker.redaction import Secret
from broker.testing.raw_server import listening, response
from workers.calls import Calls


def looked_at(*pieces: bytes) -> str:
    async def run() -> str:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                writer.write(piece)

        async with listening(handler) as port, Calls({}, secret=Secret("sk-canary")) as calls:
            return repr(await calls.look(f"http://127.0.0.1:{port}/props"))

    return asyncio.run(run())


def test_the_key_is_masked_in_a_page_whatever_its_status() -> None:
    told = looked_at(response(b'{"version": "sk-canary"}', "X-Echo: sk-canary"))
    assert "status=200" in told
    assert "canary" not in told


def test_a_page_that_is_too_large_is_cut_off() -> None:
    assert "too_large=True" in looked_at(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n")


@pytest.mark.parametrize("page", [b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{", b"\0\0\0\r\n\r\n", b""])
def test_a_page_that_breaks_off_is_no_exception(page: bytes) -> None:
    assert looked_at(page).startswith("NotConnected(")


def test_a_look_is_over_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.calls._LOOK_S", 0.05)

    async def run() -> None:
        async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.read()

        async with asyncio.timeout(20.0), listening(silent) as port, Calls({}) as calls:
            assert "TimeoutError" in repr(await calls.look(f"http://127.0.0.1:{port}/props"))

    asyncio.run(run())
