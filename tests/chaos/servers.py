"""The servers of one fleet, which nobody else uses, so that they may be killed."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Self

import asyncpg

from broker.store import migrate
from broker.store.engine import open_database
from tests.servers import debian
from tests.servers.databases import database_url
from tests.servers.private_postgres import PrivatePostgres
from tests.servers.private_rabbitmq import PrivateRabbit
from tests.servers.redis_server import PrivateRedis


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """RabbitMQ, PostgreSQL and Redis, all running."""

    rabbit: PrivateRabbit
    postgres: PrivatePostgres
    redis: PrivateRedis
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @classmethod
    def started(cls, stack: ExitStack) -> Self:
        """Start them all at once; they stop with the stack, and with the thread that called this."""
        rabbit, postgres = PrivateRabbit(stack), PrivatePostgres(stack)
        redis = PrivateRedis(debian.folder_of("redis", stack))
        stack.callback(redis.kill)
        rabbit.start()
        postgres.start()
        redis.start()
        servers = cls(rabbit=rabbit, postgres=postgres, redis=redis)
        asyncio.run(servers.answer())
        return servers

    async def answer(self) -> None:
        """Wait until RabbitMQ and PostgreSQL can be used."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.rabbit.answers())
            tasks.create_task(self.postgres.answers())

    def restore(self) -> None:
        """Start whatever does not run, and wait until all can be used."""
        for server in (self.rabbit, self.postgres):
            if not server.running:
                server.start()
        asyncio.run(self.answer())

    def new_name(self) -> str:
        """Make a name for another fleet on these servers: of its database, and for the front of its queues."""
        return f"chaos{next(self._numbers)}"

    def database(self, name: str) -> str:
        """Make a database, prepared for use; returns its URL."""
        return asyncio.run(self._database(name))

    async def _database(self, name: str) -> str:
        connection = await asyncpg.connect(self.postgres.url)
        try:
            await connection.execute(f"create database {name}")
        finally:
            await connection.close()
        url = database_url(self.postgres.url, name)
        database = open_database(url)
        try:
            await database.write(migrate.upgrade)
        finally:
            await database.close()
        return url


@contextmanager
def private_servers() -> Iterator[Servers]:
    """Run servers for as long as the block runs."""
    with ExitStack() as stack:
        yield Servers.started(stack)
