"""A simulated provider that listens: starts, dispatches, stops."""

from types import TracebackType
from typing import Self

from aiohttp.web import BaseRequest, Response, Server, ServerRunner, StreamResponse, TCPSite
from pydantic import JsonValue

from broker.domain.clock import Clock, SystemClock
from workers.provider_sim import models, pages
from workers.provider_sim.anthropic import endpoints as anthropic
from workers.provider_sim.books import Books
from workers.provider_sim.call import Reply
from workers.provider_sim.config import SimConfig
from workers.provider_sim.desk import Desk
from workers.provider_sim.gemini import endpoints as gemini
from workers.provider_sim.ledger import Ledger
from workers.provider_sim.openai import endpoints as openai
from workers.provider_sim.self_hosted.pages import page as engine_page

_BACKLOG = 1024
_STOP_S = 0.1
"""Seconds for connections to close once their calls have ended."""
_KEEPALIVE_S = 3600.0
_OWN_PAGES = {"/sim/ledger": "GET", "/sim/stats": "GET", "/sim/health": "GET", "/sim/reset": "POST"}


class ProviderSim:
    """One simulated provider, listening while its `async with` block runs.

        async with ProviderSim(SimConfig(keys=(KeyConfig(name="a", requests_per_minute=600),))) as sim:
            ...  # call sim.base_url with the key "a"
            assert len(sim.ledger) == 1

    Leaving the block ends calls in progress; the ledger stays readable. Raises `OSError` when it cannot listen.
    """

    def __init__(self, config: SimConfig | None = None, *, clock: Clock | None = None) -> None:
        self.config = config or SimConfig()
        self._clock = clock or SystemClock()
        self._books = Books(self.config, self._clock)
        self._desk = Desk(self.config, self._clock)
        self._endpoints = openai.endpoints(self.config.embedding_dimensions) | anthropic.endpoints()
        self._gemini = gemini.Paths(self.config.embedding_dimensions)
        self._runner: ServerRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """The root, without a slash at the end; `/sim/ledger` and the like are below it."""
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        return f"http://{host}:{self._port}"

    @property
    def base_url(self) -> str:
        """What an account's `base_url` should say for the protocols of OpenAI; for the others it is `url`."""
        return f"{self.url}/v1"

    @property
    def ledger(self) -> Ledger:
        """Every paid call since the start or the last reset."""
        return self._books.ledger

    def stats(self) -> dict[str, JsonValue]:
        """Return what `GET /sim/stats` answers."""
        return self._books.stats()

    def reset(self) -> None:
        """Forget everything and fill the buckets; a call in progress ends in the books it began in."""
        self._books = Books(self.config, self._clock)

    async def __aenter__(self) -> Self:
        # Without cancellation, a call whose client went would go on as if it were still wanted.
        server = Server(self._handle, access_log=None, handler_cancellation=True, keepalive_timeout=_KEEPALIVE_S)
        runner = ServerRunner(server, handle_signals=False, shutdown_timeout=_STOP_S)
        self._runner = runner
        try:
            await runner.setup()
            await TCPSite(runner, self.config.host, self.config.port, backlog=_BACKLOG).start()
            self._port = int(runner.addresses[0][1])
            self._books = Books(self.config, self._clock)
        except BaseException:
            await runner.cleanup()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._desk.stop()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: BaseRequest) -> StreamResponse:
        path = request.path
        endpoint, model = self._endpoints.get(path), None
        if endpoint is None and (found := self._gemini.find(path)) is not None:
            endpoint, model = found
        if endpoint is not None and request.method == "POST":
            return await self._desk.serve(request, endpoint, model, self._books)
        if path in _OWN_PAGES:
            return await self._own_page(request)
        if endpoint is not None:
            return _response(endpoint.vendor.errors.wrong_method(request.method, path))
        return _response(self._page(request))

    def _page(self, request: BaseRequest) -> Reply:
        """Answer what costs nothing, or say that it does not exist."""
        books = self._books
        served = self.config.models or models.DEFAULT_MODELS
        reply = engine_page(request.method, request.path, self.config.self_hosted, served, books.in_flight)
        reply = reply or models.page(request, self.config, books)
        return reply or models.vendor_of(request).errors.no_such_path(request.method, request.path)

    async def _own_page(self, request: BaseRequest) -> StreamResponse:
        if request.method != _OWN_PAGES[request.path]:
            return _response(openai.OPENAI.errors.wrong_method(request.method, request.path))
        match request.path:
            case "/sim/ledger":
                return await pages.ledger(request, self._books)
            case "/sim/stats":
                return pages.stats(self._books)
            case "/sim/reset":
                self.reset()
                return pages.was_reset()
            case _:
                return pages.health()


def _response(reply: Reply) -> Response:
    return Response(status=reply.status, body=reply.body, content_type=reply.content_type)
