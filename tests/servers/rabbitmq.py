"""RabbitMQ for tests: from the environment, the standard port, Docker, or the Debian package."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import aio_pika
from aio_pika.exceptions import AMQPError

from tests.servers import containers, debian
from tests.servers.finding import NoServer, Unavailable, Way

VARIABLE = "PENSTOCK_TEST_RABBITMQ_URL"
STANDARD_URL = "amqp://guest:guest@127.0.0.1:5672/"
IMAGE = "rabbitmq:4-alpine"
START_S = 90.0
_USER = "rabbitmq"
_CANNOT_CONNECT = (OSError, TimeoutError, AMQPError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A server that belongs to the test: it may be starved, stopped and killed."""

    url: str
    control: Callable[..., str]
    """Runs `rabbitmqctl` with these arguments on it; returns what that prints."""


def ways() -> tuple[Way, ...]:
    """All ways to a server on which queues may be declared, best first."""
    return (
        Way(label=f"the URL in {VARIABLE}", obtain=_from_environment),
        Way(label=f"the standard port, {STANDARD_URL}", obtain=lambda _: _answering(STANDARD_URL)),
        Way(label=f"Docker, {IMAGE}", obtain=lambda stack: container(stack).url),
        Way(label="the Debian package, as a private process", obtain=lambda stack: debian_process(stack).url),
    )


def private_node(stack: ExitStack) -> Node:
    """Start a server that nobody else uses."""
    lacking = []
    for label, start in (("the Debian package", debian_process), (f"Docker, {IMAGE}", container)):
        try:
            return start(stack)
        except Unavailable as reason:
            lacking.append(f"  {label}: {reason}")
    raise NoServer("these tests need a RabbitMQ of their own, and none could be started:\n" + "\n".join(lacking))


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
    except (ValueError, KeyError) as error:
        raise Unavailable(f"no URL of a RabbitMQ: {error}") from error
    return url


async def _ask(url: str) -> None:
    async with asyncio.timeout(5):
        connection = await aio_pika.connect(url)
        async with connection:
            channel = await connection.channel()
            await channel.declare_queue(exclusive=True)


def container(stack: ExitStack) -> Node:
    """Start a server in Docker."""
    with containers.starting():
        from testcontainers.rabbitmq import RabbitMqContainer

        server = stack.enter_context(RabbitMqContainer(IMAGE))
        url = f"amqp://guest:guest@{server.get_container_host_ip()}:{server.get_exposed_port(5672)}/"

        def control(*arguments: str) -> str:
            status, printed = server.exec(["rabbitmqctl", *arguments])
            if status:
                raise RuntimeError(f"rabbitmqctl {arguments[0]}: {printed.decode()[-300:]}")
            return str(printed.decode())

        return Node(url=_answering(url), control=control)


def debian_process(stack: ExitStack) -> Node:
    """Start a server of our own: own node name, ports, port mapper and data folder, gone with the stack."""
    server = debian.program("usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")
    mapper = debian.program("usr/bin/epmd", "erlang-base")
    folder = debian.folder_of(_USER, stack)
    port, mapper_port, distribution_port = (debian.free_port() for _ in range(3))
    plugins = folder / "enabled_plugins"
    plugins.write_text("[].\n")
    settings = {
        "HOME": folder,  # holds the node's cookie
        "PATH": os.defpath + ":/usr/sbin:/sbin",
        "LANG": "C.UTF-8",
        "ERL_EPMD_PORT": mapper_port,
        "RABBITMQ_NODENAME": f"penstock-{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": port,
        "RABBITMQ_DIST_PORT": distribution_port,
        "RABBITMQ_MNESIA_BASE": folder / "data",
        "RABBITMQ_LOG_BASE": folder / "log",
        "RABBITMQ_ENABLED_PLUGINS_FILE": plugins,
        "RABBITMQ_CONF_ENV_FILE": folder / "none",
        "RABBITMQ_CONFIG_FILE": folder / "none",
    }
    environment = {name: str(value) for name, value in settings.items()}
    log = folder / "output"
    _started([mapper, "-port", str(mapper_port)], environment, folder / "mapper", stack)
    process = _started([server], environment, log, stack)

    def control(*arguments: str) -> str:
        done = subprocess.run(
            debian.as_user(_USER, server.with_name("rabbitmqctl"), *arguments),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=START_S,
        )
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {arguments[0]}: {done.stderr[-300:]}")
        return done.stdout

    url = f"amqp://guest:guest@127.0.0.1:{port}/"
    asyncio.run(_until_it_answers(url, process, log))
    return Node(url=url, control=control)


def _started(
    command: list[Path | str], environment: dict[str, str], log: Path, stack: ExitStack
) -> subprocess.Popen[bytes]:
    """Start a process and its children as a group of their own; the stack ends them all."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            debian.as_user(_USER, *command),
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
        )
    stack.callback(_stop, process)
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Kill the whole group: nothing in it is worth keeping, and a wrapper script passes no signal on."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(debian.STOP_S)


async def _until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    async with asyncio.timeout(START_S):
        while True:
            try:
                return await _ask(url)
            except _CANNOT_CONNECT:
                if process.poll() is not None:
                    raise Unavailable(f"it ended at once: {_end_of(log)}") from None
                await asyncio.sleep(0.2)


def _end_of(log: Path) -> str:
    return log.read_text()[-300:]
