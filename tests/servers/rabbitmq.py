"""RabbitMQ for tests: from the environment, the standard port, Docker, or the Debian package."""

import asyncio
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from tests.servers import containers
from tests.servers.finding import NoServer, Unavailable, Way
from tests.servers.private_rabbitmq import CANNOT_CONNECT, PrivateRabbit, ask

VARIABLE = "PENSTOCK_TEST_RABBITMQ_URL"
STANDARD_URL = "amqp://guest:guest@127.0.0.1:5672/"
IMAGE = "rabbitmq:4-alpine"


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
        asyncio.run(ask(url))
    except CANNOT_CONNECT as error:
        raise Unavailable(f"{type(error).__name__}: {error}") from error
    except (ValueError, KeyError) as error:
        raise Unavailable(f"no URL of a RabbitMQ: {error}") from error
    return url


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
    server = PrivateRabbit(stack)
    server.start()
    asyncio.run(server.answers())
    return Node(url=server.url, control=server.control)
