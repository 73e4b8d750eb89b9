"""How a reply leaves: whole, cut, byte by byte, or as a TCP reset."""

import socket
import struct
from collections.abc import Mapping
from enum import StrEnum

from aiohttp.web import BaseRequest, Response, StreamResponse

from broker.domain.clock import Clock
from workers.provider_sim.call import Reply

_LINGER_NOT = struct.pack("ii", 1, 0)
"""SO_LINGER on, for 0 s: closing discards what is unsent and sends RST."""


class Ending(StrEnum):
    """How far a delivery came."""

    COMPLETE = "complete"
    """Every byte was handed to the network."""
    ABORTED = "aborted"
    """The client went first."""
    STOPPED = "stopped"
    """The simulator was stopped first."""


async def whole(request: BaseRequest, reply: Reply, headers: Mapping[str, str]) -> tuple[StreamResponse, Ending]:
    """Send everything."""
    response = Response(status=reply.status, body=reply.body, headers=_all_headers(reply, headers))
    if _is_gone(request):
        return response, Ending.ABORTED
    try:
        await response.prepare(request)
        await response.write_eof()
    except ConnectionError:
        return response, Ending.ABORTED
    return response, Ending.COMPLETE


async def cut(request: BaseRequest, reply: Reply, headers: Mapping[str, str]) -> StreamResponse:
    """Promise the whole length, send half of it, and close."""
    response = _opened(reply, headers)
    try:
        await response.prepare(request)
        await response.write(reply.body[: len(reply.body) // 2])
    except ConnectionError:
        return response
    if request.transport is not None:
        # Sends what is buffered, then FIN: to the client, the body just ends.
        request.transport.close()
    return response


async def drip(
    request: BaseRequest, reply: Reply, headers: Mapping[str, str], *, clock: Clock, interval_s: float
) -> tuple[StreamResponse, Ending]:
    """Send one byte at a time, `interval_s` seconds apart."""
    response = _opened(reply, headers)
    try:
        await response.prepare(request)
        for position in range(len(reply.body)):
            await clock.sleep(interval_s)
            if _is_gone(request):
                return response, Ending.ABORTED
            await response.write(reply.body[position : position + 1])
        await response.write_eof()
    except ConnectionError:
        return response, Ending.ABORTED
    return response, Ending.COMPLETE


def reset(request: BaseRequest) -> StreamResponse:
    """End the connection with RST; the returned response is never sent."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        transport.abort()
    return Response()


def _all_headers(reply: Reply, headers: Mapping[str, str]) -> dict[str, str]:
    return {"content-type": reply.content_type, **headers, **reply.headers}


def _is_gone(request: BaseRequest) -> bool:
    return request.transport is None or request.transport.is_closing()


def _opened(reply: Reply, headers: Mapping[str, str]) -> StreamResponse:
    response = StreamResponse(status=reply.status, headers=_all_headers(reply, headers))
    response.content_length = len(reply.body)
    return response
