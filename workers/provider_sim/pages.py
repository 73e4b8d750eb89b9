"""The simulator's own pages under `/sim/`: its ledger, its counters, and a way to start afresh. They need no key."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

import orjson
from aiohttp.web import BaseRequest, Response, StreamResponse

from workers.provider_sim.books import Books
from workers.provider_sim.call import JSON
from workers.provider_sim.ledger import PaidCall

_ROWS_PER_WRITE = 500
"""Few enough to keep calls going while a long ledger is read."""
_JSON_LINES = "application/jsonl"


async def ledger(request: BaseRequest, books: Books) -> StreamResponse:
    """Paid calls as JSON lines, from row `?since=N`, up to the newest when the reading began."""
    since = request.query.get("since", "0")
    if not (since.isascii() and since.isdigit()):
        return _problem(400, f"since: a row number, not {since!r}")
    if not books.keeps_rows:
        return _problem(409, "This simulator keeps counters only (ledger = 'counts'); read /sim/stats.")
    response = StreamResponse(headers={"content-type": _JSON_LINES})
    rows = books.ledger.rows(int(since))
    # A reader who has seen enough may leave at any time.
    with suppress(ConnectionError):
        await _send(request, response, rows)
    return response


async def _send(request: BaseRequest, response: StreamResponse, rows: Iterator[PaidCall]) -> None:
    await response.prepare(request)
    while chunk := b"".join(orjson.dumps(row) + b"\n" for row in islice(rows, _ROWS_PER_WRITE)):
        await response.write(chunk)
    await response.write_eof()


def stats(books: Books) -> Response:
    """All counters."""
    return Response(body=orjson.dumps(books.stats()), content_type=JSON)


def health() -> Response:
    """Say that it listens."""
    return Response(body=b'{"status":"ok"}', content_type=JSON)


def was_reset() -> Response:
    """Say that a new ledger was opened."""
    return Response(body=b'{"status":"reset"}', content_type=JSON)


def _problem(status: int, message: str) -> Response:
    return Response(status=status, body=orjson.dumps({"error": {"message": message}}), content_type=JSON)
