"""Redis for tests: from the environment, the standard port, Docker, or the Debian package; and servers to kill."""

import os
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import redis

from tests.servers import containers, debian
from tests.servers.finding import NoServer, Unavailable, Way

VARIABLE = "PENSTOCK_TEST_REDIS_URL"
STANDARD_URL = "redis://127.0.0.1:6379/0"
IMAGE = "redis:7-alpine"
START_S = 30.0


def ways() -> tuple[Way, ...]:
    """All ways to a server, best first; tests use a key prefix of their own and never empty it."""
    return (
        Way(label=f"the URL in {VARIABLE}", obtain=_from_environment),
        Way(label=f"the standard port, {STANDARD_URL}", obtain=lambda _: _answering(STANDARD_URL)),
        Way(label=f"Docker, {IMAGE}", obtain=_container),
        Way(label="the Debian package, as a private process", obtain=_debian_process),
    )


class PrivateRedis:
    """A server of one's own, without persistence: a kill leaves nothing."""

    def __init__(self, folder: Path) -> None:
        self._program = debian.program("usr/bin/redis-server", "redis-server")
        self._folder = folder
        self._port = debian.lasting_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start it empty, and wait until it answers."""
        options = {"port": self._port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": self._folder}
        arguments = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen([self._program, *arguments], stdout=log, stderr=log)
        until = time.monotonic() + START_S
        while True:
            try:
                _answering(self.url)
            except Unavailable:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.02)
            else:
                return

    def freeze(self) -> None:
        """Let it hang: it still takes connections and data, and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on with what has arrived meanwhile."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


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
        with redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5) as client:
            client.ping()
    except (OSError, redis.RedisError, ValueError) as error:
        raise Unavailable(f"{type(error).__name__}: {error}") from error
    return url


def _container(stack: ExitStack) -> str:
    with containers.starting():
        from testcontainers.redis import RedisContainer

        container = stack.enter_context(RedisContainer(IMAGE))
        host, port = container.get_container_host_ip(), container.get_exposed_port(6379)
        return _answering(f"redis://{host}:{port}/0")


def _debian_process(stack: ExitStack) -> str:
    server = PrivateRedis(debian.folder_of("redis", stack))
    server.start()
    stack.callback(server.kill)
    return server.url
