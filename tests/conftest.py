"""Servers for tests. Databases: fresh and migrated, one per test, on SQLite and on PostgreSQL.

def test_something(postgres_url): ...        # also: sqlite_url
def test_on_both(database_url): ...          # once for each kind of database
def test_operations(database):
    async def scenario():
        async with database() as db:         # opened, and closed at the end, in the test's own event loop
            await db.write(...)
    asyncio.run(scenario())

RabbitMQ: one server for all; whoever uses it chooses a prefix for its queues, and deletes them.

def test_over_amqp(rabbitmq_url): ...
def test_of_alarms(rabbitmq_node): ...       # a private server, which the test may starve
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from broker.store import migrate
from broker.store.engine import Database, open_database
from tests.servers import databases, rabbitmq, redis_server
from tests.servers.finding import obtain
from tests.servers.sharing import shared

Opened = Callable[[], AbstractAsyncContextManager[Database]]

# On a shared machine an example's duration says nothing about the code
settings.register_profile("no wall clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no wall clock")

_SERVERS = pytest.StashKey[ExitStack]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep a place for servers that outlive the fixtures."""
    config.stash[_SERVERS] = ExitStack()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop servers here: other processes may still use them, and waiting for those must not count as a test's time."""
    session.config.stash[_SERVERS].close()


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Give the server's URL and its migrated template database, the same for all processes of this run."""
    parallel = hasattr(request.config, "workerinput")
    folder = tmp_path_factory.getbasetemp()
    start = shared(folder.parent if parallel else folder, "postgres", databases.with_template)
    return request.config.stash[_SERVERS].enter_context(start)


@pytest.fixture(scope="session")
def rabbitmq_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the URL of a RabbitMQ, the same for all processes of this run."""
    parallel = hasattr(request.config, "workerinput")
    folder = tmp_path_factory.getbasetemp()
    start = shared(
        folder.parent if parallel else folder,
        "rabbitmq",
        lambda stack: {"url": obtain("RabbitMQ", rabbitmq.ways(), stack)},
    )
    return request.config.stash[_SERVERS].enter_context(start)["url"]


@pytest.fixture(scope="session")
def rabbitmq_node(request: pytest.FixtureRequest) -> rabbitmq.Node:
    """Give a RabbitMQ that belongs to this process alone."""
    return rabbitmq.private_node(request.config.stash[_SERVERS])


@pytest.fixture
def postgres_url(postgres_server: dict[str, str]) -> Iterator[str]:
    """Give a fresh, migrated PostgreSQL database."""
    server = postgres_server["server"]
    name = databases.create(server, postgres_server["template"])
    yield databases.database_url(server, name)
    databases.drop(server, name)


@pytest.fixture
def empty_postgres_url(postgres_server: dict[str, str]) -> Iterator[str]:
    """Give a PostgreSQL database without any table."""
    server = postgres_server["server"]
    name = databases.create(server)
    yield databases.database_url(server, name)
    databases.drop(server, name)


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> str:
    """Give a Redis server that others use too: take a key prefix of your own, and never empty it."""
    return obtain("Redis", redis_server.ways(), request.config.stash[_SERVERS])


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a migrated SQLite file that nobody has open."""
    path = tmp_path_factory.mktemp("template") / "penstock.db"

    async def migrated() -> None:
        async with _opened(f"sqlite:///{path}") as database:
            await database.write(migrate.upgrade)

    asyncio.run(migrated())
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """Give a fresh, migrated SQLite database."""
    path = tmp_path / "penstock.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Give a fresh, migrated database; the test runs once for each kind."""
    url: str = request.getfixturevalue({"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param])
    return url


@pytest.fixture
def database(database_url: str) -> Opened:
    """Give a function that opens the test's database within the test's event loop."""
    return partial(_opened, database_url)


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Database]:
    database = open_database(url)
    try:
        yield database
    finally:
        await database.close()
