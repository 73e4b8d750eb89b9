"""A provider that throws the key back in an answer that is no HTTP: it shows in no reason."""

import asyncio

import pytest

from broker.redaction import MASK, Secret
from broker.testing.raw_server import says, server
from workers.calls import Calls
from workers.endings import CutOff

KEY = "plainwordskey"
"""Nothing in its shape says that it is one."""


@pytest.mark.parametrize(
    "answer",
    [
        f"HTTP/1.1 200 OK\r\nno such key {KEY}\r\n\r\n",
        f"no such key {KEY}\r\n\r\n",
        f"HTTP/1.1 200 OK\r\nContent-Length: {KEY}\r\n\r\n",
        f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(KEY)}\r\n\r\n{KEY}",
    ],
)
def test_the_reason_of_a_call_that_was_cut_off_does_not_tell_the_key(answer: str) -> None:
    async def main() -> CutOff:
        async with server(says(answer.encode())) as heard, Calls({}, secret=Secret(KEY)) as calls:
            ending = await calls.post(heard.url, {}, b"{}")
            assert isinstance(ending, CutOff)
            return ending

    ending = asyncio.run(main())
    assert KEY not in ending.reason


def test_the_key_is_masked_where_it_stood() -> None:
    async def main() -> str:
        async with (
            server(says(f"HTTP/1.1 200 OK\r\nno such key {KEY}\r\n\r\n".encode())) as heard,
            Calls({}, secret=Secret(KEY)) as calls,
        ):
            ending = await calls.post(heard.url, {}, b"{}")
            assert isinstance(ending, CutOff)
            return ending.reason

    assert MASK in asyncio.run(main())
