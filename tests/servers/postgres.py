"""PostgreSQL for tests: from the environment, the standard port, Docker, or the Debian package."""

import asyncio
import os
import subprocess
from contextlib import ExitStack
from pathlib import Path

import asyncpg

from tests.servers import containers, debian
from tests.servers.finding import NoServer, Unavailable, Way

VARIABLE = "PENSTOCK_TEST_POSTGRES_URL"
STANDARD_URL = "postgresql://postgres@127.0.0.1:5432/postgres"
IMAGE = "postgres:17-alpine"
START_S = 60.0
_CANNOT_CONNECT = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


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
        asyncio.run(_ask(url))
    except _CANNOT_CONNECT as error:
        raise Unavailable(f"{type(error).__name__}: {error}") from error
    except ValueError as error:
        raise Unavailable(f"no URL of a database: {error}") from error
    return url


async def _ask(url: str) -> None:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        may_create = await connection.fetchval(
            "select rolcreatedb or rolsuper from pg_roles where rolname = current_user"
        )
    finally:
        await connection.close()
    if not may_create:
        raise Unavailable("answers, but its user may not create databases")


def _container(stack: ExitStack) -> str:
    with containers.starting():
        from testcontainers.postgres import PostgresContainer

        container = stack.enter_context(PostgresContainer(IMAGE, driver=None))
        return _answering(container.get_connection_url())


def debian_process(stack: ExitStack) -> str:
    """Start a server of our own: own data folder, own port, as user postgres, gone with the stack."""
    postgres = debian.program("usr/lib/postgresql/*/bin/postgres", "postgresql")
    folder = debian.folder_of("postgres", stack)
    data = folder / "data"
    _run(debian.as_user("postgres", postgres.with_name("initdb"), "--auth=trust", "--no-sync", "--pgdata", data))
    port = debian.free_port()
    log = folder / "log"
    options = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "max_connections": 200,
        "fsync": "off",  # it outlives no test; a test of durability starts a server of its own
    }
    command = [postgres, "-D", data, *(part for key, value in options.items() for part in ("-c", f"{key}={value}"))]
    process = debian.started(debian.as_user("postgres", *map(str, command)), log, stack)
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    asyncio.run(_until_it_answers(url, process, log))
    return url


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    if done.returncode:
        raise Unavailable(f"{Path(command[-1]).name}: {done.stderr.strip()[-300:]}")


async def _until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    async with asyncio.timeout(START_S):
        while True:
            try:
                return await _ask(url)
            except _CANNOT_CONNECT:
                if process.poll() is not None:
                    raise Unavailable(f"it ended at once: {_end_of(log)}") from None
                await asyncio.sleep(0.1)


def _end_of(log: Path) -> str:
    return log.read_text()[-300:]
