"""A PostgreSQL that belongs to a test: it may be stopped as a power cut would, and started again."""

import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path

import asyncpg

from tests.servers import debian
from tests.servers.finding import Unavailable
from tests.servers.waiting import answering

START_S = 60.0
_USER = "postgres"
CANNOT_CONNECT = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class PrivatePostgres:
    """Own port and data folder, gone with the stack; not running until `start`."""

    def __init__(self, stack: ExitStack, *, durable: bool = True) -> None:
        """What is not `durable` is quicker, and must not be stopped and started again."""
        server = debian.program("usr/lib/postgresql/*/bin/postgres", "postgresql")
        folder = debian.folder_of(_USER, stack)
        data, port = folder / "data", debian.lasting_port()
        _run(debian.as_user(_USER, server.with_name("initdb"), "--auth=trust", "--no-sync", "--pgdata", data))
        options = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "fsync": "on" if durable else "off",
        }
        settings = (part for key, value in options.items() for part in ("-c", f"{key}={value}"))
        self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        self._command = debian.as_user(_USER, server, "-D", data, *settings)
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        stack.callback(self.stop)

    def start(self) -> None:
        """Start it; `answers` waits for it. Call this in the main thread: it ends with that."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, stdout=output, stderr=subprocess.STDOUT, cwd="/", start_new_session=True
            )

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

    def stop(self) -> None:
        """Stop it at once, in good order: connections are cut off, and everything is on the disk."""
        self._end(signal.SIGINT)

    def stop_immediately(self) -> None:
        """Stop it as a crash would: it has to recover from its log when it starts again."""
        self._end(signal.SIGQUIT)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(debian.STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(debian.STOP_S)


async def ask(url: str) -> None:
    """Look whether databases may be created; raises one of `CANNOT_CONNECT`, and `Unavailable` where they may not."""
    connection = await asyncpg.connect(url, timeout=5)
    try:
        may_create = await connection.fetchval(
            "select rolcreatedb or rolsuper from pg_roles where rolname = current_user"
        )
    finally:
        await connection.close()
    if not may_create:
        raise Unavailable("answers, but its user may not create databases")


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    if done.returncode:
        raise Unavailable(f"{Path(command[-1]).name}: {done.stderr.strip()[-300:]}")
