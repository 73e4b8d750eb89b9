"""How many processes each account of a fleet shall have.

What an operator asked for, else what the load calls for (where that is configured), else what is configured.
"""

import logging
from collections import Counter
from collections.abc import Collection, Mapping

from broker.domain.account import Account
from broker.domain.clock import Clock
from broker.domain.presence import Presence
from broker.domain.route import Routes
from broker.errors import StoreError
from broker.store import manifest, scales
from broker.store.engine import Database
from workers.autoscale import Step, Trend, decide

log = logging.getLogger("penstock.fleet")

LOAD_LOOK_S = 5.0
"""Between two looks at the load: processes report that often."""


class Scaling:
    """Looks at the database; while that does not answer, the numbers stay as they are."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._asked: Mapping[str, int] = {}
        self._chosen: dict[str, int] = {}
        self._trends: dict[str, Trend] = {}
        self._look_at = clock.monotonic()
        self._trouble = ""

    async def look(self, accounts: Collection[Account], ready: Mapping[str, int]) -> None:
        """See what was asked for and how busy it is; `ready` is how many processes of each account work by now."""
        try:
            self._asked = await self._database.read(scales.asked)
            if self._clock.monotonic() >= self._look_at and any(account.autoscale for account in accounts):
                self._look_at = self._clock.monotonic() + LOAD_LOOK_S
                await self._weigh(accounts, ready)
        except StoreError as error:
            if not self._trouble:
                log.warning("the number of processes stays as it is; the database does not answer: %s", error)
            self._trouble = str(error)
            self._trends.clear()  # how it was meanwhile, nobody knows
            return
        if self._trouble:
            log.warning("the database answers again")
            self._trouble = ""

    def trouble(self) -> str | None:
        """Say why the numbers stay as they are; `None`: they do not."""
        return self._trouble or None

    def wanted(self, account: Account) -> int:
        """How many processes this account shall have."""
        asked = self._asked.get(account.name)
        if asked is not None:
            return asked
        if account.autoscale is not None:
            return account.autoscale.within(self._chosen.get(account.name, account.workers))
        return account.workers

    async def _weigh(self, accounts: Collection[Account], ready: Mapping[str, int]) -> None:
        present = await self._database.read(scales.present)
        waiting: Counter[str] = Counter()
        for _, route, jobs in await self._database.read(manifest.unfed_routes):
            waiting[route] += jobs
        routes = Routes(accounts)
        for account in accounts:
            if account.autoscale is None:
                continue
            number = self.wanted(account)
            self._chosen[account.name] = account.autoscale.within(number)
            if account.name in self._asked or ready.get(account.name, 0) != number:
                self._trends.pop(account.name, None)  # not to be judged now
                continue
            reports = [one for one in present if one.account == account.name]
            work_waits = any(waiting[route] for route in routes.of(account))
            self._step(account, number, reports, work_waits=work_waits)

    def _step(self, account: Account, number: int, reports: list[Presence], *, work_waits: bool) -> None:
        if account.autoscale is None:
            return
        step, self._trends[account.name] = decide(
            self._trends.get(account.name, Trend()),
            account.autoscale,
            number,
            reports,
            work_waits=work_waits,
            now=self._clock.monotonic(),
        )
        if step is not Step.STAY:
            self._chosen[account.name] = number + step
            why = "its processes are the bottleneck" if step is Step.MORE else "its processes have room to spare"
            log.info("%s: from %d to %d processes: %s", account.name, number, number + step, why)
