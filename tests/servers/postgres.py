"""PostgreSQL for tests: from the environment, the standard port, Docker, or the Debian package."""

import asyncio
import os
from contextlib import ExitStack

from tests.servers import containers
from tests.servers.finding import NoServer, Unavailable, Way
from tests.servers.private_postgres import CANNOT_CONNECT, PrivatePostgres, ask

VARIABLE = "PENSTOCK_TEST_POSTGRES_URL"
STANDARD_URL = "postgresql://postgres@127.0.0.1:5432/postgres"
IMAGE = "postgres:17-alpine"


def ways() -> tuple[Way, ...]:
    """All ways to a server on which databases may be created, best first."""
    return (
        Way(label=f"the URL in {VARIABLE}", obtain=_from_environment),
        Way(label=f"the standard port, {STANDARD_URL}", obtain=lambda _: _answering(STANDARD_URL)),
        Way(label=f"Docker, {IMAGE}", obtain=_container),
        Way(label="the Debian package, as a private process", obtain=debian_process),
    )


def _from_environment(_stack: ExitStack) -> str:
    url = os.environ.get(VARIABLE)  # noqa: TID251  # says where tests find the server, no setting of the product
    if not url:
        raise Unavailable("not set")
    try:
        return _answering(url)
    except Unavailable as error:
        # Whoever names a server means that one
        raise NoServer(f"{VARIABLE} names a server that cannot be used: {error}") from error


def _answering(url: str) -> str:
    try:
        asyncio.run(ask(url))
    except CANNOT_CONNECT as error:
        raise Unavailable(f"{type(error).__name__}: {error}") from error
    except ValueError as error:
        raise Unavailable(f"no URL of a database: {error}") from error
    return url


def _container(stack: ExitStack) -> str:
    with containers.starting():
        from testcontainers.postgres import PostgresContainer

        container = stack.enter_context(PostgresContainer(IMAGE, driver=None))
        return _answering(container.get_connection_url())


def debian_process(stack: ExitStack) -> str:
    """Start a server of our own: own data folder, own port, as user postgres, gone with the stack."""
    # It outlives no test and is started only once: nothing needs to reach the disk
    server = PrivatePostgres(stack, durable=False)
    server.start()
    asyncio.run(server.answers())
    return server.url
