"""Asks a self-hosted server what it is, when a worker starts and when something may have changed.

    start ──▶ asked ──no answer, or a window unknown──▶ asked again at the first good answer, then once a minute
                └──errors in a row──▶ asked again, at most once a minute

A server that says nothing is no failure: then its calls alone show what it is.
"""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress

import orjson

from broker.domain.account import Account
from broker.domain.attempt import CallError, ErrorClass
from broker.domain.clock import Clock
from workers.calls import Calls
from workers.capabilities import UNKNOWN, Capabilities
from workers.endings import Responded
from workers.self_description import Told, described

log = logging.getLogger("penstock.worker")

ERRORS_IN_A_ROW = 5
"""After so many the server may be another one than it was."""
AT_MOST_EVERY_S = 60.0
FIRST_LOOK_S = 2.0
"""The first calls wait for the first answer this long at most."""
_MOST_MODELS = 32
"""Of an account with more, only the first are asked about one by one."""
_NOT_THE_SERVERS = frozenset({ErrorClass.NEVER_SENT, ErrorClass.UNTRANSLATABLE, ErrorClass.ABORTED})


async def probe(account: Account, calls: Calls) -> Capabilities:
    """Ask a server for all its pages; `UNKNOWN` when it has none. Raises nothing but `CancelledError`."""
    facts = account.facts
    if not facts.probe:
        return UNKNOWN
    root = account.base_url.rstrip("/").removesuffix("/v1")
    pages: list[Told] = []
    for page in facts.probe:
        models = [None] if page.ask_field is None else [*dict.fromkeys(account.models.values())][:_MOST_MODELS]
        for model in models:
            body = None if model is None else orjson.dumps({page.ask_field: model})
            ending = await calls.look(root + page.path, body)
            if isinstance(ending, Responded) and 200 <= ending.status < 300:
                pages.append(Told(page=page, body=ending.body, of_model=model))
            elif not isinstance(ending, Responded) and not pages:
                return UNKNOWN  # nobody is there: the other pages would only take as long
    return described(pages, engine=account.provider, any_model=facts.any_model)


class Probing:
    """Keeps what is known of one account's server up to date; of a vendor's it asks nothing."""

    def __init__(self, account: Account, calls: Calls, clock: Clock) -> None:
        self._account = account
        self._calls = calls
        self._clock = clock
        self.capabilities = UNKNOWN
        self._active = account.facts.self_hosted and bool(account.facts.probe)
        self._wanted = asyncio.Event()
        self._looked = asyncio.Event()
        self._looked_at = -AT_MOST_EVERY_S
        self._errors = 0
        self._incomplete = False
        self._first = True
        """No good answer came since the server was started, as far as we know."""
        self._logged: str | None = None

    def words(self) -> str | None:
        """What is known of the server, for people; `None`: nothing."""
        return self.capabilities.words_for(self._account.models.values()) or None

    def succeeded(self) -> None:
        """A good answer came back."""
        self._errors = 0
        if self._incomplete and (self._first or self._rested()):
            self._incomplete = False
            self._wanted.set()
        self._first = False

    def went_wrong(self, error: CallError) -> None:
        """A call failed; what never reached the server says nothing of it."""
        if not self._active or error.error_class in _NOT_THE_SERVERS:
            return
        self._errors += 1
        if self._errors >= ERRORS_IN_A_ROW and self._rested():
            self._errors = 0
            self._first = True
            self._wanted.set()

    def _rested(self) -> bool:
        return self._clock.monotonic() - self._looked_at >= AT_MOST_EVERY_S

    async def looked(self) -> None:
        """Wait until the server was asked once, but not for long."""
        if self._active:
            with suppress(TimeoutError):
                async with asyncio.timeout(FIRST_LOOK_S):
                    await self._looked.wait()

    async def run(self) -> None:
        """Ask at once, and again whenever it seems worth it, until cancelled."""
        while self._active:
            await self._look()
            self._looked.set()
            await self._wanted.wait()
            self._wanted.clear()

    async def _look(self) -> None:
        self._looked_at = self._clock.monotonic()
        found = await probe(self._account, self._calls)
        self._incomplete = _incomplete(found, self._account.models.values())
        if found != UNKNOWN:
            self.capabilities = found  # else what was known is still the best guess
        self._tell(found)

    def _tell(self, found: Capabilities) -> None:
        words = f"says {found.words()}" if found.words() else "does not say what it is; its calls will show"
        if words == self._logged:
            return
        self._logged = words
        log.info("the server of account %s %s", self._account.name, words)
        for model in found.lacks(self._account.models.values()):
            log.warning("the server of account %s does not serve %s", self._account.name, model)


def _incomplete(found: Capabilities, models: Iterable[str]) -> bool:
    """Whether a good answer is a reason to ask again: nobody was there before, or no model was loaded."""
    return any(found.context_window(model) is None for model in models)
