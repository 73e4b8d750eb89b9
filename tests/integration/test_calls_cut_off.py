"""Responses that break off, never end, or grow without bound, on raw sockets."""

import asyncio
import gzip
import zlib

import pytest

from broker.testing.raw_server import Handler, Heard, reset, response, says, server
from workers.calls import Calls
from workers.endings import CutOff, Ending, Responded

BODY = b'{"model":"m","messages":[]}'
ANSWER = b'{"ok":true}'


def ending_of(
    handler: Handler | None,
    *,
    body: bytes = BODY,
    timeout_seconds: float = 20.0,
    max_body_bytes: int = 1 << 20,
) -> Ending:
    async def main() -> Ending:
        async with (
            server(handler) as heard,
            Calls({}, timeout_seconds=timeout_seconds, max_body_bytes=max_body_bytes) as calls,
        ):
            ending = await calls.post(heard.url, {}, body)
            assert heard.bodies in ([], [body])
            return ending

    return asyncio.run(main())


def cut(ending: Ending) -> CutOff:
    assert isinstance(ending, CutOff), ending
    return ending


def test_a_close_without_an_answer_is_cut_off() -> None:
    assert cut(ending_of(None)).status is None


def test_a_body_shorter_than_declared_is_cut_off() -> None:
    assert cut(ending_of(says(response(ANSWER, length=1000)))).status == 200


def test_a_chunked_body_without_its_end_is_cut_off() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert cut(ending_of(says(head + b"5\r\nhello\r\n"))).status == 200


def test_a_chunked_body_with_broken_framing_is_cut_off() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    cut(ending_of(says(head + b"zz\r\nhello\r\n")))


def test_a_reset_inside_the_body_is_cut_off() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await says(response(ANSWER, length=1000))(reader, writer)
        reset(writer)

    cut(ending_of(handler))


def test_what_is_no_http_is_cut_off() -> None:
    assert cut(ending_of(says(b"SSH-2.0-OpenSSH\r\n\r\n"))).status is None


def test_a_body_that_does_not_decompress_is_cut_off() -> None:
    cut(ending_of(says(response(b"this is no gzip", "Content-Encoding: gzip"))))


def test_endless_headers_are_cut_off() -> None:
    cut(ending_of(says(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(5000)) + b"\r\n")))


def _patient(*, status_line: bool) -> Handler:
    """A server that falls silent until the client goes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if status_line:
            writer.write(response(b"x", length=1000))
        await reader.read()

    return handler


@pytest.mark.parametrize(("status_line", "status"), [(False, None), (True, 200)])
def test_silence_ends_at_the_deadline(status_line: bool, status: int | None) -> None:
    ending = cut(ending_of(_patient(status_line=status_line), timeout_seconds=0.2))
    assert ending.status == status
    assert "within 0.2 s" in ending.reason


def _endless(piece: bytes, *headers: bytes) -> Handler:
    async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\r\n".join([b"HTTP/1.1 200 OK", *headers, b"\r\n"]))
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

    return handler


def test_a_slow_drip_ends_at_the_deadline_although_it_makes_progress() -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(response(b"", length=1_000_000))
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    assert cut(ending_of(drip, timeout_seconds=0.3)).status == 200


def test_interim_responses_without_end_stop_at_the_deadline() -> None:
    async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    assert cut(ending_of(handler, timeout_seconds=0.3)).status is None


def test_an_endless_stream_stops_at_the_size_cap() -> None:
    ending = cut(ending_of(_endless(b"x" * 65_536), max_body_bytes=1 << 20))
    assert ending.too_large
    assert ending.status == 200


def test_a_body_that_declares_more_than_the_cap_is_not_read() -> None:
    ending = cut(ending_of(_patient_declared(2 << 20), max_body_bytes=1 << 20))
    assert ending.too_large


def _patient_declared(length: int) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(response(b"", length=length))
        await reader.read()

    return handler


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compression_bomb_stops_at_the_size_cap(encoding: str) -> None:
    zeros = bytes(64 << 20)
    bomb = gzip.compress(zeros, 9) if encoding == "gzip" else zlib.compress(zeros, 9)
    del zeros
    ending = cut(ending_of(says(response(bomb, f"Content-Encoding: {encoding}")), max_body_bytes=1 << 20))
    assert ending.too_large


@pytest.mark.parametrize(("size", "fits"), [(1000, True), (1001, False)])
def test_the_cap_counts_decompressed_bytes_exactly(size: int, fits: bool) -> None:
    packed = response(gzip.compress(bytes(size)), "Content-Encoding: gzip")
    assert isinstance(ending_of(says(packed), max_body_bytes=1000), Responded) is fits


@pytest.mark.parametrize("status_line", [False, True])
def test_cancelling_a_call_goes_through_and_closes_its_connection(status_line: bool) -> None:
    async def main() -> None:
        heard = Heard()
        at_work = asyncio.Event()

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if status_line:
                writer.write(response(b"x", length=1000))
            at_work.set()
            await reader.read()
            heard.gone.set()

        async with server(handler, heard=heard), Calls({}) as calls, asyncio.timeout(20):
            task = asyncio.create_task(calls.post(heard.url, {}, BODY))
            await at_work.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await heard.gone.wait()

    asyncio.run(main())
