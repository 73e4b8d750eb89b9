"""A worker's life sign, and what follows when the database does not confirm it."""

import logging
from collections.abc import Awaitable, Callable

from broker.domain.clock import Clock
from broker.errors import StoreUnavailable
from broker.store import workers as store
from broker.store.claim import HEARTBEAT_FRESH_S
from broker.store.engine import Database

log = logging.getLogger("penstock.heartbeat")

BEAT_S = 5.0


class Heartbeat:
    """Beats for one worker id; `fresh` is the worker's permission to start calls."""

    def __init__(self, database: Database, worker_id: str, account: str, clock: Clock) -> None:
        self._database = database
        self._worker_id = worker_id
        self._account = account
        self._clock = clock
        self._confirmed = float("-inf")

    @property
    def fresh(self) -> bool:
        """Whether the database has confirmed a life sign within the last 15 s."""
        return self._clock.monotonic() - self._confirmed < HEARTBEAT_FRESH_S

    async def register(self) -> None:
        """Announce this process; raises `StoreUnavailable`."""
        sent = self._clock.monotonic()
        await self._database.write(store.register, self._worker_id, self._account)
        self._confirmed = sent

    async def beat(self, signs: store.Signs) -> bool:
        """Show life once; a database that does not answer is no error here: returns false, and the life sign ages."""
        sent = self._clock.monotonic()
        try:
            await self._database.write(store.beat, self._worker_id, signs)
        except StoreUnavailable as error:
            log.warning("no heartbeat: %s", error)
            return False
        self._confirmed = sent
        return True

    async def run(self, signs: Callable[[], store.Signs], compare: Callable[[], Awaitable[None]]) -> None:
        """Beat until cancelled; `compare` is awaited after each beat that was confirmed."""
        while True:
            await self._clock.sleep(BEAT_S)
            if await self.beat(signs()):
                await compare()
