"""Makes the HTTP calls of one worker: each is sent once, and every way it can end is a value.

What this owns: the connections, the deadlines, the size cap, and telling "surely not sent" from "may have been
sent". What the caller keeps: pacing, retries, and what the ending means.
"""

import asyncio
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Self

from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_exceptions import ClientConnectionResetError
from aiohttp.payload import Payload

from broker.domain.account import Account
from broker.redaction import Secret, excerpt
from workers.deadlines import Deadlines
from workers.endings import CutOff, Ending, NotConnected, Responded
from workers.masking import Masking

CALL_ID_HEADER = "X-Client-Request-Id"

# Widespread servers close an idle connection after 5 s: ours is let go before, so that the close seldom meets a call.
_KEEPALIVE_SECONDS = 4.0
_WRITE_SLICE = 1 << 18
_REASON_LIMIT = 300
_LOOK_S = 5.0
_LARGEST_PAGE = 4 << 20
"""Bytes: a list of many models is long, and so are chat templates."""


def _user_agent() -> str:
    try:
        return f"penstock/{version('penstock')}"
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "penstock"


USER_AGENT = _user_agent()


def account_headers(account: Account, secret: Secret | None) -> dict[str, str]:
    """Headers of every call of an account: its own ones, and its key in the place the provider wants it."""
    headers = dict(account.headers)
    if secret is not None:
        scheme = f"{account.auth_scheme} " if account.auth_scheme else ""
        headers[account.auth_header] = scheme + secret.reveal()
    return headers


class _Upload(Payload):
    """A request body that knows whether any byte of its request may have left this process.

    The request's head is held back until the first write of the body, so the moment before that write is the last
    at which the call is surely not sent.
    """

    _value: bytes
    may_be_sent = False

    def __init__(self, body: bytes) -> None:
        super().__init__(body, content_type="application/json")
        self._size = len(body)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        transport = writer.transport
        if transport is None or transport.is_closing():  # an idle connection that died while we picked it
            raise ClientConnectionResetError("the connection was closed before the request was written")
        self.may_be_sent = True
        body = self._value if content_length is None else self._value[:content_length]
        if len(body) <= _WRITE_SLICE:
            await writer.write(body)
            return
        view = memoryview(body)
        for start in range(0, len(view), _WRITE_SLICE):
            await writer.write(view[start : start + _WRITE_SLICE])

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._value.decode(encoding, errors)


class Calls:
    """One worker's HTTP client; made and closed inside the running loop.

    No redirects, no cookies, no proxies from the environment, and no second sending of a request, whatever happens
    to its connection (aiohttp sends idempotent requests again; a POST it does not).
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        *,
        secret: Secret | None = None,
        timeout_seconds: float = 600.0,
        connect_seconds: float = 15.0,
        max_body_bytes: int = 64 << 20,
    ) -> None:
        """Open no connection yet; `headers` go with every call. `secret` is what no ending may tell.

        `timeout_seconds` bounds a whole call whatever its progress, `connect_seconds` the look-up, TCP and TLS
        together; `max_body_bytes` counts what a body decompresses to.
        """
        self.masking = Masking(secret)
        self._timeout_seconds = timeout_seconds
        self._deadlines = Deadlines(timeout_seconds)
        self._max_body_bytes = max_body_bytes
        fixed = {
            "user-agent": USER_AGENT,
            "accept": "application/json",
            **{name.lower(): value for name, value in headers.items()},
            "accept-encoding": "gzip, deflate",
            "content-type": "application/json",
        }
        self._session = ClientSession(
            connector=TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_SECONDS),
            cookie_jar=DummyCookieJar(),
            headers=fixed,
            # The total deadline is ours: aiohttp rounds it up and watches it less strictly.
            timeout=ClientTimeout(total=None, sock_connect=connect_seconds),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; calls still in flight end as cut off."""
        await self._session.close()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Ending:
        """Send one request, once; `headers` are this call's own, such as its id.

        Raises nothing but `CancelledError`, which closes the connection: a cancelled call may have been sent.
        `NotConnected` also stands for a connection that was made, or kept, but took no byte of this request.
        The account's key is masked in every ending but a success, whose bytes nobody changes.
        """
        upload = _Upload(body)
        response: ClientResponse | None = None
        deadline = self._deadlines.start()
        try:
            response = await self._session.post(url, data=upload, headers=headers, allow_redirects=False)
            return await self._received(response, self._max_body_bytes)
        except asyncio.CancelledError:
            if not deadline.was_it():
                raise
            reason = f"no complete response within {self._timeout_seconds:g} s"
        except Exception as problem:  # noqa: BLE001  (an exception that escaped would lose the fact that we may have to pay)
            reason = f"{type(problem).__name__}: {problem}"
        finally:
            self._deadlines.finish(deadline)
            if response is not None and not response.closed:
                response.close()  # the rest of the body is not wanted, so the connection cannot be used again
        reason = excerpt(self.masking.text(reason), _REASON_LIMIT)  # before it is cut
        if not upload.may_be_sent:
            return NotConnected(reason=reason)
        return CutOff(reason=reason, status=None if response is None else response.status)

    async def look(self, url: str, body: bytes | None = None) -> Ending:
        """Look at a page of the server's own, which costs nothing and says little: quickly or not at all.

        By POST where there is a `body`. Raises nothing but `CancelledError`. The account's key is masked in all of it.
        """
        try:
            async with asyncio.timeout(_LOOK_S):
                method = "GET" if body is None else "POST"
                async with self._session.request(method, url, data=body, allow_redirects=False) as response:
                    page = await self._received(response, _LARGEST_PAGE)
        except asyncio.CancelledError:
            raise
        except Exception as problem:  # noqa: BLE001  (a page that cannot be had is no reason to stop)
            reason = f"{type(problem).__name__}: {problem}"
            return NotConnected(reason=excerpt(self.masking.text(reason), _REASON_LIMIT))
        return self.masking.response(page) if isinstance(page, Responded) else page

    async def _received(self, response: ClientResponse, cap: int) -> Responded | CutOff:
        """Read the body piece by piece: only so does the decompressor stay within bounds."""
        declared = response.content_length
        if declared is not None and declared > cap:
            return _too_large(response, cap)
        content = response.content
        body = await content.readany()
        if not content.at_eof():
            pieces = [body]
            size = len(body)
            while size <= cap and (piece := await content.readany()):
                pieces.append(piece)
                size += len(piece)
            if size > cap:
                return _too_large(response, cap)
            body = b"".join(pieces)
        elif len(body) > cap:
            return _too_large(response, cap)
        received = Responded(status=response.status, headers=response.headers, body=body)
        return received if 200 <= received.status < 300 else self.masking.response(received)


def _too_large(response: ClientResponse, cap: int) -> CutOff:
    return CutOff(reason=f"the response body passed the cap of {cap} bytes", status=response.status, too_large=True)
