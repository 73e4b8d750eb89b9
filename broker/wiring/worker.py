"""One worker process of a fleet: bound to one account, against the servers that all share.

replay spools ─▶ close what dead neighbours left ─▶ consume ─▶ … ─▶ stop: hand back, drain, commit, ack, close
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext, suppress
from pathlib import Path

from broker.domain.account import Account
from broker.domain.clock import Clock, SystemClock
from broker.domain.report import Report
from broker.errors import ConfigError
from broker.health.address import Address
from broker.health.server import Health
from broker.limits.redis import RedisLimiter
from broker.settings import Settings
from broker.store.engine import Database
from broker.store.plan import Plan
from broker.store.probe import answers
from broker.transport.rabbitmq.transport import RabbitTransport
from broker.wiring.collector import collect_rarely
from broker.wiring.daily import DailyUse
from broker.wiring.servers import StoppedEarly, answered, opened, transport, url_of
from broker.wiring.spools import spool_directory
from broker.wiring.workshop import Workshop
from workers.bench import Bench, Watch
from workers.diary import Diary
from workers.lifeline import Lifeline
from workers.recorder import Recorder
from workers.recovery import bury_neighbours, replay_spools
from workers.spool import Spool
from workers.work import Step
from workers.worker import Worker

log = logging.getLogger("penstock.worker")

ABORT_FLUSH_S = 10.0
"""How long a process that must stop at once still tries to commit what it knows."""
CONNECTIONS = 2
"""To claim and to record; a life sign, or a look at open calls, may need another. A fleet has many processes, and
PostgreSQL takes a hundred connections unless told otherwise."""


def account_named(settings: Settings, name: str) -> Account:
    """Find an account; raises `ConfigError`, which names those that there are."""
    for account in settings.accounts:
        if account.name == name:
            return account
    known = ", ".join(account.name for account in settings.accounts)
    raise ConfigError(f"--account {name}: no account has this name; the accounts of {settings.broker.file} are {known}")


class WorkerProcess:
    """Works for one account until `stop`. Cancelled, it closes its calls in flight as aborted."""

    def __init__(
        self,
        settings: Settings,
        account: Account,
        *,
        clock: Clock | None = None,
        health: Address | None = None,
        watch: Watch = lambda _step, _work: None,
    ) -> None:
        """Take the settings of the whole pool, and the account to work for; `health` is where to tell how it stands."""
        self._health = health
        self._settings = settings
        self._account = account
        self._clock = clock or SystemClock()
        self._watch = watch
        self._process_id = uuid.uuid4().hex
        self._over = asyncio.Event()
        for server in ("database", "rabbitmq"):
            url_of(settings.broker, server)  # what is wrong with it is said before anything is waited for
        self._limiter = RedisLimiter(
            url_of(settings.broker, "redis"),
            member=self._process_id,
            clock=self._clock,
            prefix=f"{settings.broker.prefix}penstock",
        )
        self._worker: Worker | None = None

    def stop(self) -> None:
        """Start nothing more; what is in flight is finished and recorded."""
        self._over.set()

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Work; `ready` is called when jobs can come."""
        collect_rarely()
        with suppress(StoppedEarly):
            await self._run(ready)

    async def _run(self, ready: Callable[[], None]) -> None:
        async with (
            opened(self._settings.broker, self._clock, connections=CONNECTIONS, over=self._over) as database,
            AsyncExitStack() as stack,
        ):
            directory = self._settings.broker.spool or spool_directory(database)
            recorder = Recorder(
                database,
                Spool(directory, self._process_id),
                self._clock,
                self._committed,
                diary=Diary(directory, self._process_id),
            )
            workshop = Workshop(
                database=database,
                limiter=self._limiter,
                recorder=recorder,
                accounts=self._settings.accounts,
                policy=self._settings.retry_policy,
                clock=self._clock,
                process_id=self._process_id,
                watch=self._watch,
            )
            bench = workshop.bench(self._account)
            stack.push_async_callback(bench.calls.close)  # again, or because it never came to work
            stack.enter_context(Lifeline(directory, self._process_id, [bench.claimant.worker_id]))
            daily = DailyUse(self._limiter, database, self._account, self._settings.accounts, self._clock)
            await self._prepared(database, directory, daily)
            stack.push_async_callback(self._limiter.close)
            async with asyncio.TaskGroup() as services:
                background = [
                    services.create_task(recorder.run()),
                    services.create_task(self._limiter.run()),
                    services.create_task(daily.run()),
                ]
                try:
                    async with (
                        transport(self._settings.broker, database, self._clock) as queues,
                        self._told(database, queues, bench, recorder),
                    ):
                        self._worker = Worker(bench, queues)
                        await self._work(self._worker, ready)
                finally:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(ABORT_FLUSH_S):
                            await self._part(recorder)
                    for task in background:
                        task.cancel()

    async def _prepared(self, database: Database, directory: Path, daily: DailyUse) -> None:
        """Commit what dead processes of this machine knew, then close what they left open, then say what was used."""

        async def prepare() -> None:
            await replay_spools(database, directory)
            await bury_neighbours(database, directory)
            await daily.tell()

        await answered(prepare, self._clock, self._over)

    def _told(
        self, database: Database, queues: RabbitTransport, bench: Bench, recorder: Recorder
    ) -> AbstractAsyncContextManager[object]:
        """Tell over HTTP how this process stands, where that is wanted."""
        if self._health is None:
            return nullcontext()

        def waiting() -> str | None:
            return f"{len(recorder)} reports wait for the database" if recorder.spools else None

        return Health(
            self._health,
            clock=self._clock,
            checks={
                "rabbitmq": lambda: "; ".join(queues.problems) or None,
                "heartbeat": lambda: None if bench.may_call() else "not confirmed by the database: no call is started",
                "account": lambda: bench.health.reason,
            },
            probes={"database": lambda: answers(database)},
            notes={"limits": lambda: self._limiter.away, "spool": waiting, "server": bench.probing.words},
        ).serving()

    async def _work(self, worker: Worker, ready: Callable[[], None]) -> None:
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(worker.run())
            ready()
            over = tasks.create_task(self._over.wait())
            await asyncio.wait([working, over], return_when=asyncio.FIRST_COMPLETED)
            over.cancel()
            worker.stop()
        # Before the queue is let go of: an ack that is not sent brings its turn to another worker
        await worker.bench.recorder.drained()

    async def _part(self, recorder: Recorder) -> None:
        await recorder.drained()
        if self._worker is not None:
            await self._worker.goodbye()

    def _committed(self, reports: Sequence[Report], _: Plan) -> None:
        if self._worker is None:
            return
        for report in reports:
            work = self._worker.bench.open.pop(report.attempt_id, None)
            if work is not None:
                self._watch(Step.COMMITTED, work)
