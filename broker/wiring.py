"""The composition root: puts the parts of the embedded mode together in one process.

Engine ─┬─ Feeder ──▶ LocalTransport ──▶ Worker (one per account) ──▶ Recorder
        ├─ Reaper, sweeper                                              │
        └─ Database ◀───────────────────────────────────────────────────┘
"""

import asyncio
import gc
import hashlib
import itertools
import random
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from broker.accounting.pricing import Pricing
from broker.catalog.lookup import find
from broker.domain.account import Account
from broker.domain.clock import Clock, SystemClock
from broker.domain.outcome import RetryPolicy
from broker.domain.report import Report
from broker.domain.route import model_of, routes_of
from broker.feeder import sweeper
from broker.feeder.cost import PoolRates
from broker.feeder.fair_share import StartBonus
from broker.feeder.feeder import Feeder, RouteSupply
from broker.limits.estimate import Estimator
from broker.limits.memory import MemoryLimiter
from broker.protocols.registry import protocol_named
from broker.secrets import read_secret, state_home
from broker.store.claim import Claimant
from broker.store.engine import Database
from broker.store.plan import Plan
from broker.transport.local import LocalTransport
from workers.account_health import NEEDS_SOMEBODY, AccountHealth
from workers.bench import Bench, Watch
from workers.calls import Calls, account_headers
from workers.heartbeat import Heartbeat
from workers.reaper import Reaper
from workers.recorder import Recorder
from workers.recovery import bury_predecessors, replay_spools
from workers.solo import Solo
from workers.spool import Spool
from workers.work import Step
from workers.worker import Worker

ABORT_FLUSH_S = 10.0
"""How long a process that must stop at once still tries to commit what it knows."""


def spool_directory(database: Database) -> Path:
    """Where answers wait that the database did not take: beside a SQLite file, else in the user's folder for state.

    Whatever folder the next process is started in, it finds them. Each database has its own: an answer that is
    replayed into another one belongs to no job there, and is lost.
    """
    url = database.url
    if url.get_backend_name() == "sqlite":
        return Path(f"{Path(url.database or '').resolve()}.spool")
    host = url.host or url.query.get("host")
    port = url.port or url.query.get("port", 5432)
    name = hashlib.sha256(f"{host}:{port}/{url.database}".encode()).hexdigest()[:12]
    return state_home() / "penstock" / f"{name}.spool"


def all_routes(accounts: Collection[Account]) -> frozenset[str]:
    """Every route that some account serves."""
    return frozenset().union(*(routes_of(a.name, a.provider, a.models) for a in accounts))


def serving(accounts: Collection[Account], routes: Collection[str]) -> tuple[Account, ...]:
    """The accounts that serve any of these routes."""
    return tuple(a for a in accounts if not routes_of(a.name, a.provider, a.models).isdisjoint(routes))


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
        self._accounts = accounts
        self._watch = watch
        self._committed = committed
        self._process_id = uuid.uuid4().hex
        self._attempts = itertools.count(1)
        self._spool_directory = spool_directory(database)
        self._over = asyncio.Event()
        self._changed = asyncio.Event()
        transport = LocalTransport()
        self.recorder = Recorder(
            database, Spool(self._spool_directory, self._process_id), self.clock, self._when_committed
        )
        for account in accounts:
            self.limiter.declare(account.group, account.limits)
        routes = all_routes(accounts)
        self.feeder = Feeder(
            database=database,
            transport=transport,
            supplies={route: _supply(accounts, route) for route in routes},
            clock=self.clock,
            only=only,
            bonus=bonus,
        )
        self.workers = tuple(Worker(bench, transport) for bench in self._benches(policy))

    async def run(self) -> None:
        """Recover, then work until `stop`. Cancelled, it closes its calls in flight as aborted."""
        _collect_rarely()
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

    def _new_attempt_id(self) -> str:
        """Unique over all processes: the process's own random id, and a count."""
        return f"att_{self._process_id}_{next(self._attempts)}"

    def _benches(self, policy: RetryPolicy) -> list[Bench]:
        estimator, pricing, solo = Estimator(), Pricing(self._accounts), Solo()
        return [self._bench(account, policy, estimator, pricing, solo) for account in self._accounts]

    def _bench(
        self, account: Account, policy: RetryPolicy, estimator: Estimator, pricing: Pricing, solo: Solo
    ) -> Bench:
        worker_id = f"{self._process_id}-{account.name}"
        provider = find(account.provider)
        secret = read_secret(account.secret) if account.secret else None
        others = [routes_of(a.name, a.provider, a.models) for a in self._accounts if a is not account]
        return Bench(
            account=account,
            protocol=protocol_named(account.protocol),
            details_default_zero=provider is not None and provider.usage_details_default_zero,
            reads_headers=provider is not None and provider.header_dialect == "openai",
            claimant=Claimant(worker_id=worker_id, account=account.name, provider=account.provider),
            calls=Calls(account_headers(account, secret), secret=secret, timeout_seconds=account.timeout_seconds),
            limiter=self.limiter,
            estimator=estimator,
            pricing=pricing,
            database=self.database,
            recorder=self.recorder,
            heartbeat=Heartbeat(self.database, worker_id, account.name, self.clock),
            health=AccountHealth(policy),
            solo=solo,
            policy=policy,
            clock=self.clock,
            random=random.random,
            new_id=self._new_attempt_id,
            model_of=lambda route: model_of(route, account.models),
            shared=lambda route: any(route in routes for routes in others),
            watch=self._watch,
        )


def _collect_rarely() -> None:
    """Look for reference cycles every 100,000 allocations: a job makes dozens of objects and no cycle.

    At the default of 700 the collector took a sixth of the CPU of a fast run.
    """
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def _supply(accounts: Collection[Account], route: str) -> RouteSupply:
    able = serving(accounts, [route])

    def per_second(limits: Sequence[float | None]) -> float | None:
        return None if None in limits else sum(limit / 60 for limit in limits if limit is not None)

    return RouteSupply(
        slots=sum(min(a.worker_concurrency, a.limits.concurrency or a.worker_concurrency) for a in able),
        workers=len(able),
        rates=PoolRates(
            requests_per_s=per_second([a.limits.requests_per_minute for a in able]),
            tokens_per_s=per_second([a.limits.tokens_per_minute for a in able]),
            input_tokens_per_s=per_second([a.limits.input_tokens_per_minute for a in able]),
            output_tokens_per_s=per_second([a.limits.output_tokens_per_minute for a in able]),
        ),
    )
