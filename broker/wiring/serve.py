"""`penstock serve`: what moves jobs and results between database and queues, without any provider's key.

feeder    manifest ─▶ queues                            one process at a time
reaper    dead workers, cancelled batches               one process at a time
intake    jobs that come over AMQP ─▶ manifest          as many as there are
delivery  results ─▶ those who subscribed over AMQP     one process at a time
"""

import asyncio
import logging
import os
import random
import socket
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext, suppress
from enum import StrEnum
from typing import assert_never

from broker.delivery.amqp.sending import ResultDelivery
from broker.domain.clock import Clock, SystemClock
from broker.errors import StoreUnavailable
from broker.feeder import sweeper
from broker.feeder.feeder import Feeder, RouteSupply
from broker.feeder.window import QUEUE_SECONDS
from broker.health.address import Address
from broker.health.server import Health
from broker.intake import sealer
from broker.intake.amqp.intake import AmqpIntake
from broker.settings import Settings
from broker.store import scales
from broker.store.engine import Database
from broker.store.probe import answers
from broker.transport.envelope import MOST_JOBS
from broker.wiring.elected import Elected
from broker.wiring.servers import StoppedEarly, opened, transport, url_of
from broker.wiring.supply import all_routes, supply
from workers.reaper import Reaper

log = logging.getLogger("penstock.serve")

COUNT_WORKERS_S = 2.0
CONNECTIONS = 8


class Role(StrEnum):
    """What a process of `penstock serve` may do."""

    FEEDER = "feeder"
    REAPER = "reaper"
    INTAKE = "intake"
    DELIVERY = "delivery"


class Serve:
    """Plays its roles until `stop`."""

    def __init__(
        self,
        settings: Settings,
        roles: Collection[Role],
        *,
        clock: Clock | None = None,
        health: Address | None = None,
    ) -> None:
        """Take what to do; `health` is where to tell how it stands.

        Raises `ConfigError` where a URL is missing that a role needs.
        """
        self._settings = settings
        self._roles = roles
        self._clock = clock or SystemClock()
        self._holder = f"process {os.getpid()} on {socket.gethostname()} ({uuid.uuid4().hex[:8]})"
        self._over = asyncio.Event()
        self._health = health
        self._rabbitmq = url_of(settings.broker, "rabbitmq") if set(roles) - {Role.REAPER} else ""
        self._feeder: Feeder | None = None
        self._problems: dict[str, Callable[[], str | None]] = {}
        """Of the roles that this process plays now."""

    def stop(self) -> None:
        """End every role; what is half done is done by whoever takes over."""
        self._over.set()

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serve; `ready` is called once the database is there."""
        with suppress(StoppedEarly):
            await self._run(ready)

    async def _run(self, ready: Callable[[], None]) -> None:
        async with (
            opened(self._settings.broker, self._clock, connections=CONNECTIONS, over=self._over) as database,
            self._told(database),
            asyncio.TaskGroup() as tasks,
        ):
            playing = [tasks.create_task(self._played(database, role)) for role in self._roles]
            ready()
            await self._over.wait()
            for task in playing:
                task.cancel()

    async def _played(self, database: Database, role: Role) -> None:
        match role:
            case Role.INTAKE:
                await self._take_in(database)
            case Role.FEEDER:
                await self._elected(database, role, self._feed).run()
            case Role.REAPER:
                await self._elected(database, role, self._reap).run()
            case Role.DELIVERY:
                await self._elected(database, role, self._deliver).run()
            case _:
                assert_never(role)

    def _elected(self, database: Database, role: Role, play: Callable[[Database], Awaitable[None]]) -> Elected:
        return Elected(database, role, self._holder, self._clock, play)

    def _told(self, database: Database) -> AbstractAsyncContextManager[object]:
        """Tell over HTTP how this process stands, where that is wanted."""
        if self._health is None:
            return nullcontext()

        def rabbitmq() -> str | None:
            return "; ".join(problem for ask in self._problems.values() if (problem := ask())) or None

        checks = {"rabbitmq": rabbitmq}
        return Health(
            self._health, clock=self._clock, checks=checks, probes={"database": lambda: answers(database)}
        ).serving()

    @contextmanager
    def _watched(self, role: Role, problem: Callable[[], str | None]) -> Iterator[None]:
        self._problems[role] = problem
        try:
            yield
        finally:
            del self._problems[role]

    async def _take_in(self, database: Database) -> None:
        broker = self._settings.broker
        intake = AmqpIntake(
            self._rabbitmq,
            database,
            projects=broker.projects,
            routes=all_routes(self._settings.accounts),
            clock=self._clock,
            random=random.random,
            prefix=broker.prefix,
            on_accepted=self._wake_feeder,
        )
        with self._watched(Role.INTAKE, lambda: intake.problem):
            await intake.run()

    def _wake_feeder(self) -> None:
        """What was accepted here runs at once where the feeder is here, too; else within a second."""
        if self._feeder is not None:
            self._feeder.wake()

    async def _deliver(self, database: Database) -> None:
        delivery = ResultDelivery(
            self._rabbitmq, database, clock=self._clock, random=random.random, prefix=self._settings.broker.prefix
        )
        with self._watched(Role.DELIVERY, lambda: delivery.problem):
            await delivery.run()

    async def _feed(self, database: Database) -> None:
        supplies: dict[str, RouteSupply] = {}
        await self._count_workers(database, supplies)

        def lost() -> None:
            if self._feeder is not None:
                self._feeder.doubt()

        queues = transport(self._settings.broker, database, self._clock, lost)
        self._feeder = Feeder(
            database=database,
            transport=queues,
            supplies=supplies,
            clock=self._clock,
            window_s=QUEUE_SECONDS,
            packed=MOST_JOBS,
        )
        with self._watched(Role.FEEDER, lambda: "; ".join(queues.problems) or None):
            async with queues, asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_counting(database, supplies))
                tasks.create_task(self._feeder.run())

    async def _keep_counting(self, database: Database, supplies: dict[str, RouteSupply]) -> None:
        while True:
            await self._clock.sleep(COUNT_WORKERS_S)
            await self._count_workers(database, supplies)

    async def _count_workers(self, database: Database, supplies: dict[str, RouteSupply]) -> None:
        """Size the windows by the workers that live; before the first answer, by those that are configured."""
        accounts = self._settings.accounts
        counts = {account.name: account.workers for account in accounts}
        try:
            present = await database.read(scales.present)
        except StoreUnavailable:
            if supplies:
                return
        else:
            counts = dict.fromkeys(counts, 0)
            for worker in present:
                counts[worker.account] = counts.get(worker.account, 0) + 1
        supplies.update({route: supply(accounts, route, counts) for route in all_routes(accounts)})

    async def _reap(self, database: Database) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Reaper(database, self._clock).run())
            tasks.create_task(sweeper.run(database, self._clock))
            tasks.create_task(sealer.run(database, self._clock))
