"""A role that one process of an installation plays at a time.

stand ──▶ waiting ──(nobody renewed for 6 s)──▶ elected ──(not confirmed in time, or deposed)──▶ stand
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from broker.domain.clock import Clock
from broker.errors import BrokerError, StoreUnavailable
from broker.store import elections
from broker.store.elections import LEASE_S, Deposed
from broker.store.engine import Database
from broker.store.fenced import Fenced

log = logging.getLogger("penstock.elected")

RENEW_S = 2.0
_SURE_S = LEASE_S - 1.0
"""Who has not been confirmed for so long stops before another can begin."""


class Elected:
    """Stands for a role, plays it while elected, and stands again."""

    def __init__(
        self, database: Database, role: str, holder: str, clock: Clock, play: Callable[[Database], Awaitable[None]]
    ) -> None:
        """`play` works until it is cancelled; its writes should go through the database that it is given."""
        self._database = database
        self._role = role
        self._holder = holder
        self._clock = clock
        self._play = play
        self._epoch: int | None = None
        self._confirmed = float("-inf")

    async def run(self) -> None:
        """Stand and play until cancelled; then the role is left to whoever stands next."""
        while True:
            await self._stand()
            if self._epoch is None:
                await self._clock.sleep(RENEW_S)
                continue
            log.info("elected: this process plays the %s", self._role)
            try:
                await self._while_elected(Fenced(self._database, self._role, self._epoch))
            finally:
                epoch, self._epoch = self._epoch, None
                await self._resign(epoch)
            await self._clock.sleep(RENEW_S)

    async def _while_elected(self, fenced: Fenced) -> None:
        async with asyncio.TaskGroup() as tasks:
            ends = [tasks.create_task(end) for end in (self._played(fenced), self._renewed(), self._unsure())]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in ends:
                task.cancel()

    async def _renewed(self) -> None:
        """Return when another process was elected."""
        while self._epoch is not None:
            await self._clock.sleep(RENEW_S)
            await self._stand()

    async def _unsure(self) -> None:
        """Return when this process was not confirmed in time, also while the database has yet to answer."""
        while (left_s := self._confirmed + _SURE_S - self._clock.monotonic()) > 0:
            await self._clock.sleep(left_s)
        log.warning("not confirmed as the %s in time: standing again", self._role)

    async def _played(self, fenced: Fenced) -> None:
        try:
            await self._play(fenced)
        except* Deposed:
            log.warning("another process plays the %s now", self._role)
        except* BrokerError as errors:
            log.error("the %s stopped: %s", self._role, errors.exceptions[0])  # noqa: TRY400 - said in full

    async def _stand(self) -> None:
        asked = self._clock.monotonic()
        try:
            epoch = await self._database.write(elections.stand, self._role, self._holder, self._epoch)
        except StoreUnavailable as error:
            log.warning("no election of the %s: %s", self._role, error)
            return
        if self._epoch is not None and epoch != self._epoch:
            epoch = None  # another came in between, or this one was elected anew: what runs belongs to the old epoch
        self._epoch, self._confirmed = epoch, asked

    async def _resign(self, epoch: int | None) -> None:
        if epoch is None:
            return
        try:
            await self._database.write(elections.resign, self._role, epoch)
        except StoreUnavailable as error:
            log.warning("the %s was not handed over: %s", self._role, error)
