"""The HTTP client against raw sockets that misbehave in every way we know."""

import asyncio
import gzip

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_exceptions import ClientConnectionResetError
from aiohttp.http_writer import StreamWriter

from broker.domain.account import Account
from broker.domain.dialect import OPENAI_FAMILY
from broker.redaction import Secret
from broker.testing.raw_server import Handler, Heard, listening, reset, response, says, server
from workers.calls import CALL_ID_HEADER, Calls, _Upload, account_headers
from workers.endings import CutOff, Ending, NotConnected, Responded

BODY = b'{"model":"m","messages":[]}'
ANSWER = b'{"ok":true}'


def ending_of(handler: Handler, body: bytes = BODY) -> Ending:
    async def main() -> Ending:
        async with server(handler) as heard, Calls({}, timeout_seconds=20.0) as calls:
            ending = await calls.post(heard.url, {}, body)
            assert heard.bodies == [body]
            return ending

    return asyncio.run(main())


def test_a_complete_response_comes_back_with_headers_to_be_looked_up_in_lower_case() -> None:
    ending = ending_of(says(response(ANSWER, "X-Request-ID: r1", status="429 Too Many Requests")))
    assert isinstance(ending, Responded)
    assert (ending.status, ending.body) == (429, ANSWER)
    assert ending.headers.get("x-request-id") == "r1"
    assert ending.headers.get("content-length") == str(len(ANSWER))


def test_a_chunked_and_compressed_body_is_put_together() -> None:
    packed = gzip.compress(ANSWER * 1000)
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (packed[:20], packed[20:])]
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
    ending = ending_of(says(head, chunks[0], chunks[1] + b"0\r\n\r\n"))
    assert isinstance(ending, Responded)
    assert ending.body == ANSWER * 1000


def test_the_request_carries_its_key_id_and_body_once() -> None:
    account = Account(
        name="a", provider="p", protocols=OPENAI_FAMILY, base_url="", models={}, headers={"OpenAI-Organization": "org"}
    )

    async def main() -> None:
        async with server(says(response(ANSWER))) as heard:
            async with Calls(account_headers(account, Secret("canary"))) as calls:
                await calls.post(heard.url, {CALL_ID_HEADER: "attempt-1"}, BODY)
            head = heard.heads[0].lower()
            assert head.startswith(b"post /v1/chat/completions http/1.1\r\n")
            for line in (
                b"authorization: bearer canary",
                b"x-client-request-id: attempt-1",
                b"openai-organization: org",
                b"content-type: application/json",
                b"accept-encoding: gzip, deflate",
                b"user-agent: penstock",
            ):
                assert head.count(line) == 1
            assert heard.bodies == [BODY]

    asyncio.run(main())


def test_an_account_says_how_its_key_is_sent() -> None:
    account = Account(
        name="a", provider="p", protocols=OPENAI_FAMILY, base_url="", models={}, auth_header="api-key", auth_scheme=""
    )
    assert account_headers(account, Secret("canary")) == {"api-key": "canary"}
    assert account_headers(account, None) == {}


def test_a_large_request_arrives_whole() -> None:
    ending = ending_of(says(response(ANSWER)), body=b"x" * (3 << 20))
    assert isinstance(ending, Responded)


def test_nobody_listening_is_not_connected() -> None:
    async def main() -> Ending:
        async with server() as heard:
            url = heard.url
        async with Calls({}) as calls:
            return await calls.post(url, {}, BODY)

    assert isinstance(asyncio.run(main()), NotConnected)


@pytest.mark.parametrize("url", ["http://name.invalid/v1", "not a url", "ftp://127.0.0.1/", "http:///v1"])
def test_an_address_that_leads_nowhere_is_not_connected(url: str) -> None:
    async def main() -> Ending:
        async with Calls({}) as calls:
            return await calls.post(url, {}, BODY)

    assert isinstance(asyncio.run(main()), NotConnected)


def test_a_failed_tls_handshake_is_not_connected() -> None:
    async def main() -> Ending:
        async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        async with listening(plain) as port, Calls({}) as calls:
            return await calls.post(f"https://127.0.0.1:{port}/", {}, BODY)

    assert isinstance(asyncio.run(main()), NotConnected)


@pytest.mark.parametrize(("total", "connect"), [(0.2, 15.0), (60.0, 0.2)])
def test_a_connection_that_takes_too_long_is_not_connected(total: float, connect: float) -> None:
    """A TLS handshake that never ends: both deadlines find the request unsent."""

    async def main() -> Ending:
        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        async with listening(mute) as port, Calls({}, timeout_seconds=total, connect_seconds=connect) as calls:
            return await calls.post(f"https://127.0.0.1:{port}/", {}, BODY)

    assert isinstance(asyncio.run(main()), NotConnected)


def test_a_reset_after_the_request_is_cut_off_and_not_sent_again() -> None:
    async def main() -> None:
        async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            reset(writer)

        async with server(handler) as heard, Calls({}) as calls:
            ending = await calls.post(heard.url, {}, BODY)
            assert isinstance(ending, CutOff)
            assert ending.status is None
            assert heard.connections == 1
            assert len(heard.bodies) == 1

    asyncio.run(main())


def test_a_kept_connection_that_dies_under_a_call_is_cut_off_and_not_sent_again() -> None:
    async def main() -> None:
        heard = Heard()

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(response(ANSWER))
            await heard.request(reader)
            reset(writer)

        async with server(handler, heard=heard), Calls({}) as calls:
            assert isinstance(await calls.post(heard.url, {}, BODY), Responded)
            assert isinstance(await calls.post(heard.url, {}, BODY), CutOff)
            assert heard.connections == 1
            assert len(heard.bodies) == 2

    asyncio.run(main())


def test_a_kept_connection_that_was_closed_while_idle_is_replaced() -> None:
    async def main() -> None:
        async with server(says(response(ANSWER))) as heard, Calls({}) as calls:
            for count in (1, 2, 3):
                assert isinstance(await calls.post(heard.url, {}, BODY), Responded)
                await _idle_connections_closed(calls)
                assert heard.connections == count

    asyncio.run(main())


async def _idle_connections_closed(calls: Calls) -> None:
    connector = calls._session.connector
    assert connector is not None
    async with asyncio.timeout(10):
        for kept in tuple(connector._conns.values()):
            for held, _ in tuple(kept):
                if held.closed is not None:
                    await held.closed


def test_a_connection_is_used_again() -> None:
    async def main() -> None:
        heard = Heard()

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                writer.write(response(ANSWER))
                await heard.request(reader)

        async with server(handler, heard=heard), Calls({}) as calls:
            for _ in range(5):
                assert isinstance(await calls.post(heard.url, {}, BODY), Responded)
            assert heard.connections == 1

    asyncio.run(main())


def test_a_redirect_is_not_followed() -> None:
    async def main() -> None:
        async with server(says(response(b"", "Location: /elsewhere", status="307 Temporary Redirect"))) as heard:
            async with Calls({}) as calls:
                ending = await calls.post(heard.url, {}, BODY)
            assert isinstance(ending, Responded)
            assert ending.status == 307
            assert heard.connections == 1

    asyncio.run(main())


def test_an_answer_before_the_whole_request_was_read_is_taken() -> None:
    async def main() -> Ending:
        async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(response(b"{}", status="413 Payload Too Large"))
            await writer.drain()
            while await reader.read(1 << 16):
                pass

        async with listening(early) as port, Calls({}) as calls:
            return await calls.post(f"http://127.0.0.1:{port}/", {}, b"x" * (8 << 20))

    ending = asyncio.run(main())
    assert isinstance(ending, Responded)
    assert ending.status == 413


def test_cookies_and_proxies_of_the_environment_play_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def main() -> None:
        async with server(says(response(ANSWER, "Set-Cookie: a=b", "Connection: close"))) as heard, Calls({}) as calls:
            for _ in range(2):
                assert isinstance(await calls.post(heard.url, {}, BODY), Responded)
            assert not any(b"cookie" in head.lower() for head in heard.heads)

    asyncio.run(main())


def test_what_is_called_unsent_was_never_received() -> None:
    """The server closes right after each answer, so that every next call races with the close."""

    async def main() -> None:
        async with server(says(response(ANSWER))) as heard, Calls({}) as calls:
            sent = 0
            for _ in range(60):
                ending = await calls.post(heard.url, {}, BODY)
                sent += isinstance(ending, Responded)
                assert len(heard.bodies) == sent, "a call that has no answer was received"

    asyncio.run(main())


def test_a_connection_that_closed_before_the_first_byte_leaves_the_call_unsent() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        upload = _Upload(BODY)
        with pytest.raises(ClientConnectionResetError):
            await upload.write(StreamWriter(BaseProtocol(loop), loop))
        assert not upload.may_be_sent

    asyncio.run(main())


def test_a_key_in_an_address_does_not_show_in_the_reason() -> None:
    async def main() -> Ending:
        async with server() as heard:
            url = heard.url
        async with Calls({}) as calls:
            return await calls.post(f"{url}?api_key=sk-CANARY0123456789", {}, BODY)

    ending = asyncio.run(main())
    assert isinstance(ending, NotConnected)
    assert "CANARY" not in ending.reason


def test_a_closed_client_sends_nothing() -> None:
    async def main() -> None:
        async with server() as heard:
            calls = Calls({})
            await calls.close()
            assert isinstance(await calls.post(heard.url, {}, BODY), NotConnected)
            assert heard.connections == 0

    asyncio.run(main())


def test_a_header_that_would_forge_another_is_not_sent() -> None:
    async def main() -> None:
        async with server() as heard, Calls({}) as calls:
            ending = await calls.post(heard.url, {CALL_ID_HEADER: "a\r\nX-Evil: 1"}, BODY)
            assert isinstance(ending, NotConnected)
            assert heard.heads == []

    asyncio.run(main())
