"""The composition root: puts the parts of the embedded mode together in one process.

Engine ─┬─ Feeder ──▶ LocalTransport ──▶ Worker (one per account) ──▶ Recorder
        ├─ Reaper, sweeper                                              │
        └─ Database ◀───────────────────────────────────────────────────┘
"""

import asyncio
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

from broker.domain.account import Account
from broker.domain.clock import Clock, SystemClock
from broker.domain.outcome import RetryPolicy
from broker.domain.report import Report
from broker.feeder import sweeper
from broker.feeder.fair_share import StartBonus
from broker.feeder.feeder import Feeder
from broker.limits.memory import MemoryLimiter
from broker.store.engine import Database
from broker.store.plan import Plan
from broker.transport.local import LocalTransport
from broker.wiring.collector import collect_rarely
from broker.wiring.spools import spool_directory
from broker.wiring.supply import all_routes, supply
from broker.wiring.workshop import Workshop
from workers.account_health import NEEDS_SOMEBODY
from workers.bench import Watch
from workers.reaper import Reaper
from workers.recorder import Recorder
from workers.recovery import bury_predecessors, replay_spools
from workers.spool import Spool
from workers.work import Step
from workers.worker import Worker

ABORT_FLUSH_S = 10.0
"""How long a process that must stop at once still tries to commit what it knows."""


class Engine:
    """Drains batches of one database, which the caller holds exclusively."""

    def __init__(
        self,
        database: Database,
        accounts: Sequence[Account],
        *,
        policy: RetryPolicy,
        only: Collection[int] | None = None,
        bonus: StartBonus | None = None,
        clock: Clock | None = None,
        watch: Watch = lambda _step, _work: None,
        committed: Callable[[Plan], None] = lambda _: None,
    ) -> None:
        self.database = database
        self.clock = clock or SystemClock()
        self.limiter = MemoryLimiter(self.clock)
        self._watch = watch
        self._committed = committed
        process_id = uuid.uuid4().hex
        self._spool_directory = spool_directory(database)
        self._over = asyncio.Event()
        self._changed = asyncio.Event()
        transport = LocalTransport()
        self.recorder = Recorder(database, Spool(self._spool_directory, process_id), self.clock, self._when_committed)
        for account in accounts:
            self.limiter.declare(account.group, account.limits)
        routes = all_routes(accounts)
        self.feeder = Feeder(
            database=database,
            transport=transport,
            supplies={route: supply(accounts, route) for route in routes},
            clock=self.clock,
            only=only,
            bonus=bonus,
        )
        workshop = Workshop(
            database=database,
            limiter=self.limiter,
            recorder=self.recorder,
            accounts=accounts,
            policy=policy,
            clock=self.clock,
            process_id=process_id,
            watch=watch,
        )
        self.workers = tuple(Worker(workshop.bench(account), transport) for account in accounts)

    async def run(self) -> None:
        """Recover, then work until `stop`. Cancelled, it closes its calls in flight as aborted."""
        collect_rarely()
        await replay_spools(self.database, self._spool_directory)
        await bury_predecessors(self.database)
        async with asyncio.TaskGroup() as services:
            background = [
                services.create_task(self.recorder.run()),
                services.create_task(Reaper(self.database, self.clock).run()),
                services.create_task(sweeper.run(self.database, self.clock)),
            ]
            try:
                async with asyncio.TaskGroup() as tasks:
                    feeding = tasks.create_task(self.feeder.run())
                    for worker in self.workers:
                        tasks.create_task(worker.run())
                    await self._over.wait()
                    feeding.cancel()
                    for worker in self.workers:
                        worker.stop()
            finally:
                with suppress(TimeoutError):
                    async with asyncio.timeout(ABORT_FLUSH_S):
                        await self._part()
                for task in background:
                    task.cancel()

    async def _part(self) -> None:
        await self.recorder.drained()
        for worker in self.workers:
            await worker.goodbye()
        await self.recorder.drained()

    def stop(self) -> None:
        """Start nothing more; what is in flight is finished and recorded."""
        self._over.set()

    async def changed(self, timeout_s: float) -> None:
        """Wait until something was committed, or for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        self._changed.clear()

    def blocked(self) -> Mapping[str, str]:
        """Accounts that somebody must mend, and why."""
        return {
            worker.bench.account.name: f"{worker.bench.health.health}: {worker.bench.health.reason}"
            for worker in self.workers
            if worker.bench.health.health in NEEDS_SOMEBODY
        }

    def _when_committed(self, reports: Sequence[Report], plan: Plan) -> None:
        for report in reports:
            for worker in self.workers:
                work = worker.bench.open.pop(report.attempt_id, None)
                if work is not None:
                    self._watch(Step.COMMITTED, work)
                    break
        if plan.due:
            self.feeder.wake()
        self._committed(plan)
        self._changed.set()
