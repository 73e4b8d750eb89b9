"""A RabbitMQ that belongs to a test: it may be starved, killed, started again with what it has kept, and wiped."""

import asyncio
import os
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path

import aio_pika
from aio_pika.exceptions import AMQPError

from tests.servers import debian
from tests.servers.waiting import answering

START_S = 90.0
_USER = "rabbitmq"
CANNOT_CONNECT = (OSError, TimeoutError, AMQPError)


class PrivateRabbit:
    """Own node name, ports, port mapper and data folder, all gone with the stack; not running until `start`."""

    def __init__(self, stack: ExitStack) -> None:
        self._server = debian.program("usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")
        mapper = debian.program("usr/bin/epmd", "erlang-base")
        folder = debian.folder_of(_USER, stack)
        port, mapper_port, distribution_port = (debian.lasting_port() for _ in range(3))
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
        self.url = f"amqp://guest:guest@127.0.0.1:{port}/"
        self._environment = {name: str(value) for name, value in settings.items()}
        self._log = folder / "output"
        self._process: subprocess.Popen[bytes] | None = None
        stack.callback(_kill, self._started([mapper, "-port", str(mapper_port)], folder / "mapper"))
        stack.callback(self.kill)

    def start(self) -> None:
        """Start it with what it has kept; `answers` waits for it. Call this in the main thread: it ends with that."""
        self._process = self._started([self._server], self._log)

    async def answers(self) -> None:
        """Wait until it can be used; raises `Unavailable` when it has ended."""
        await answering(
            lambda: ask(self.url),
            cannot_connect=CANNOT_CONNECT,
            running=lambda: self.running,
            last_words=self._log.read_text,
            within_s=START_S,
        )

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Kill it as a crash would; its data stays."""
        if self._process is not None:
            _kill(self._process)
            self._process = None

    def wipe(self) -> None:
        """Delete its virtual host with all queues and messages, and make it again, empty."""
        self.control("delete_vhost", "/")
        self.control("add_vhost", "/")
        self.control("set_permissions", "--vhost", "/", "guest", ".*", ".*", ".*")

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl` on it; returns what that prints."""
        done = subprocess.run(
            debian.as_user(_USER, self._server.with_name("rabbitmqctl"), *arguments),
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=START_S,
        )
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {arguments[0]}: {done.stderr[-300:]}")
        return done.stdout

    def _started(self, command: list[Path | str], log: Path) -> subprocess.Popen[bytes]:
        """Start a process and its children as a group of their own."""
        with log.open("ab") as output:
            return subprocess.Popen(
                debian.as_user(_USER, *command),
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                start_new_session=True,
            )


async def ask(url: str) -> None:
    """Declare a queue; raises one of `CANNOT_CONNECT`."""
    async with asyncio.timeout(5):
        connection = await aio_pika.connect(url)
        async with connection:
            channel = await connection.channel()
            await channel.declare_queue(exclusive=True)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the whole group: a wrapper script passes no signal on."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(debian.STOP_S)
