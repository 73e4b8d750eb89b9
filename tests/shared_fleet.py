"""A fleet on servers that others use, too: its database, queues and keys are its own, and gone afterwards."""

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import aio_pika
import redis

from broker.settings import load
from broker.store import migrate
from broker.store.engine import open_database
from broker.testing.simulator import Simulator
from broker.transport.rabbitmq.topology import Topology
from broker.wiring.supply import all_routes
from tests.chaos.installation import Installation, Pool
from tests.chaos.servers import Servers
from tests.servers import databases

ROLES = ("--roles", "feeder,reaper")
"""What `serve` does here: the queues of the others would be left behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    url: str


class _Shared:
    """In the place of servers of one's own: nothing of it can be stopped."""

    def __init__(self, postgres: str, rabbitmq: str, redis_url: str) -> None:
        self.rabbit = _Server(url=rabbitmq)
        self.postgres = _Server(url=postgres)
        self.redis = _Server(url=redis_url)
        self.made: list[str] = []

    def new_name(self) -> str:
        return f"shared{uuid.uuid4().hex[:12]}"

    def database(self, _name: str) -> str:
        self.made.append(databases.create(self.postgres.url))
        url = databases.database_url(self.postgres.url, self.made[-1])
        asyncio.run(_migrated(url))
        return url


@contextmanager
def fleet_on(
    folder: Path, sim: Simulator, pools: Sequence[Pool], *, postgres: str, rabbitmq: str, redis_url: str
) -> Iterator[Installation]:
    """Give a fleet without processes; those that are started end with the block."""
    servers = _Shared(postgres, rabbitmq, redis_url)
    fleet: Installation | None = None
    try:
        with Installation(folder, cast("Servers", servers), sim, pools) as fleet:
            try:
                yield fleet
            finally:
                asyncio.run(_without_supervisors(fleet))
    finally:
        if fleet is not None:
            routes = all_routes(load(fleet.config()).accounts)
            asyncio.run(_without_queues(rabbitmq, Topology(prefix=f"{fleet.name}."), routes))
            with redis.Redis.from_url(redis_url) as client:
                for key in client.scan_iter(f"{fleet.name}.*"):
                    client.delete(key)
        for name in servers.made:
            databases.drop(postgres, name)


async def _without_supervisors(fleet: Installation) -> None:
    """Let supervisors end by themselves: workers whose supervisor is killed go on until all is committed."""
    supervisors = [process for process in fleet.processes if process.name.startswith("fleet-")]
    for supervisor in supervisors:
        supervisor.terminate()
    for supervisor in supervisors:
        with suppress(TimeoutError):
            await supervisor.ended(within_s=30.0)


async def _migrated(url: str) -> None:
    database = open_database(url)
    try:
        await database.write(migrate.upgrade)
    finally:
        await database.close()


async def _without_queues(url: str, topology: Topology, routes: frozenset[str]) -> None:
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        for queue in (*topology.routes_by_queue(routes), topology.quarantine):
            await channel.queue_delete(queue)
