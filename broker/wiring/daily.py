"""Tells the shared limiter what the ledger says was used today: a Redis that lost everything learns it from here."""

from collections.abc import Mapping, Sequence

from broker.domain.account import Account
from broker.domain.clock import Clock
from broker.errors import StoreUnavailable
from broker.limits.port import Resource
from broker.limits.redis import LEASE_S, RedisLimiter
from broker.store import usage
from broker.store.engine import Database

TELL_EVERY_S = 10.0
_DAY_S = 86_400.0


class DailyUse:
    """Of the limit group of one account, since midnight UTC."""

    def __init__(
        self, limiter: RedisLimiter, database: Database, account: Account, accounts: Sequence[Account], clock: Clock
    ) -> None:
        """Take `accounts`, the whole pool: those of one group are limited together."""
        self._limiter = limiter
        self._database = database
        self._account = account
        self._together = [other for other in accounts if other.group == account.group]
        self._clock = clock

    async def tell(self) -> None:
        """Declare the group, with what its accounts have used; raises `StoreUnavailable`."""
        account = self._account
        self._limiter.declare(
            account.group,
            account.limits,
            used_today=await self._used(),
            workers=sum(other.workers for other in self._together),
            lease_s=max(LEASE_S, 2 * account.timeout_seconds),
        )

    async def run(self) -> None:
        """Tell again and again, where a day's use is limited at all; until cancelled."""
        while True:
            await self._clock.sleep(TELL_EVERY_S)
            if not self._limited:
                continue
            try:
                await self.tell()
            except StoreUnavailable:
                continue  # what was told last stays

    @property
    def _limited(self) -> bool:
        limits = self._account.limits
        return limits.requests_per_day is not None or limits.tokens_per_day is not None

    async def _used(self) -> Mapping[Resource, float]:
        if not self._limited:
            return {}
        midnight = self._clock.now() // _DAY_S * _DAY_S
        names = [other.name for other in self._together]
        requests, tokens = await self._database.read(usage.used_since, names, midnight)
        return {Resource.REQUESTS_PER_DAY: requests, Resource.TOKENS_PER_DAY: tokens}
