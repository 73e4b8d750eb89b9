"""Frames whose properties cannot be read are replaced; all others pass as they are."""

import asyncio
from collections.abc import Callable

import pamqp.frame
import pytest
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from broker.transport.public.readable import UNREADABLE, ReadableStream, readable

PROPERTIES = Basic.Properties(message_id="MARK", content_type="application/json", headers={"a": 1})


def header(garbled: Callable[[bytes], bytes] = bytes, *, size: int = 5) -> bytes:
    return garbled(pamqp.frame.marshal(ContentHeader(body_size=size, properties=PROPERTIES), 3))


def in_chunks(data: bytes, sizes: tuple[int, ...]) -> bytes:
    async def read() -> bytes:
        inner = asyncio.StreamReader()
        inner.feed_data(data)
        inner.feed_eof()
        stream = ReadableStream(inner)
        found = b""
        for size in sizes:
            found += await stream.readexactly(size)
        assert stream.at_eof()
        return found

    return asyncio.run(read())


@pytest.mark.parametrize(
    "frame",
    [
        header(),
        pamqp.frame.marshal(Basic.Deliver("tag", 1, False, "exchange", "key"), 3),
        pamqp.frame.marshal(ContentBody(b"\xff\x00body"), 3),
        pamqp.frame.marshal(Heartbeat(), 0),
    ],
)
def test_a_readable_frame_passes_as_it_is(frame: bytes) -> None:
    assert readable(frame) == frame
    assert in_chunks(frame * 2, (1, 6, len(frame) - 7, len(frame))) == frame * 2


def test_properties_that_cannot_be_read_are_replaced_and_the_size_of_the_body_stays() -> None:
    _, channel, made = pamqp.frame.unmarshal(
        readable(header(lambda frame: frame.replace(b"MARK", b"\xff" * 4), size=77))
    )
    assert isinstance(made, ContentHeader)
    assert (channel, made.body_size) == (3, 77)
    assert made.properties is not None
    assert made.properties.headers == {UNREADABLE: True}
    assert made.properties.message_id is None


def test_a_stream_that_ends_within_a_frame_says_so() -> None:
    with pytest.raises(asyncio.IncompleteReadError):
        in_chunks(header()[:-1], (1,))


def test_a_server_of_another_protocol_is_heard() -> None:
    assert in_chunks(b"AMQP\x00\x00\x09", (1, 6)) == b"AMQP\x00\x00\x09"
