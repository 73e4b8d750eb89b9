"""The fleet as a command of its own: signals, keys, health, and what its death means for its workers."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from broker.cli.signals import SAME_S
from tests.e2e.command_line import LIMIT_S, Folder, until
from tests.e2e.fleet_rig import Programs

COMMAND = Path(__file__).with_name("fleet_command.py")
ROOT = COMMAND.parents[2]
SERVERS = """
[broker]
database = "env:DATABASE_CANARY"
rabbitmq = "amqp://127.0.0.1:1/"
redis = "redis://127.0.0.1:1/"
"""
ACCOUNT = """
[[accounts]]
name = "{name}"
provider = "vllm"
api_key = "env:{key}"
models = ["m"]
workers = {workers}
"""
KEYS = {"KEY_A": "canary-a", "KEY_B": "canary-b", "KEY_C": "canary-c"}


class Command(Programs):
    """A running fleet."""

    def __init__(self, folder: Path, database_url: str) -> None:
        super().__init__(folder)
        self._database_url = database_url
        self.process: subprocess.Popen[str] | None = None

    def configure(self, **workers: int) -> None:
        """Write the configuration: an account of each name, with a key of its own."""
        sections = [ACCOUNT.format(name=n, key=f"KEY_{n.upper()}", workers=count) for n, count in workers.items()]
        (self.folder / "penstock.toml").write_text(SERVERS + "".join(sections))
        for name in workers:
            if not (self.folder / f"{name}.mode").exists():
                self.behave(name)

    @contextmanager
    def started(self, grace_s: float = LIMIT_S, *health: str) -> Iterator["subprocess.Popen[str]"]:
        """Start it; killed at the end of the block, if it still runs."""
        arguments = [str(self.folder), str(self.folder / "penstock.toml"), str(grace_s), *health]
        with subprocess.Popen(
            [sys.executable, str(COMMAND), *arguments],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def environment(self) -> dict[str, str]:
        known = {**os.environ}  # noqa: TID251 - handed on
        return known | KEYS | {"DATABASE_CANARY": self._database_url, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def command(tmp_path: Path, sqlite_url: str) -> Command:
    return Command(tmp_path, sqlite_url)


def finished(process: "subprocess.Popen[str]") -> tuple[int, str]:
    out, _ = process.communicate(timeout=LIMIT_S)
    return process.returncode, out


def test_a_process_gets_the_key_of_its_own_account_only(command: Command) -> None:
    command.configure(a=1, b=1)
    with command.started() as process:
        until(lambda: command.count("ready") == 2)
        command.configure(b=1, c=1)  # a's key stays a secret, though nothing names it any more
        process.send_signal(signal.SIGHUP)
        until(lambda: command.count("ready") == 4 and command.count("ended") == 2)
        process.terminate()
        assert finished(process)[0] == 0
    began = [(entry["account"], set(entry["variables"])) for entry in command.diary() if entry["what"] == "began"]
    assert sorted(account for account, _ in began) == ["a", "b", "b", "c"]
    for number, (account, variables) in enumerate(began):
        of_others = {"KEY_A", "KEY_B"} if number < 2 else set(KEYS)
        own = f"KEY_{account.upper()}"
        assert own in variables
        assert not variables & (of_others - {own})
        assert "DATABASE_CANARY" in variables


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_processes_finish(command: Command, number: signal.Signals) -> None:
    command.configure(a=2)
    command.behave("a", "busy")
    with command.started() as process:
        until(lambda: command.count("ready") == 2)
        process.send_signal(number)
        until(lambda: command.count("told") == 2)
        assert process.poll() is None
        command.let("finished")
        code, said = finished(process)
    assert (code, command.count("ended")) == (0, 2), said


def test_after_the_grace_it_kills_and_says_whom(command: Command) -> None:
    command.configure(a=1, b=1)
    command.behave("a", "stubborn")
    with command.started(0.3) as process:
        until(lambda: command.count("ready") == 2)
        process.terminate()
        code, said = finished(process)
    assert code == 1
    assert "a/1: did not finish its calls and is killed" in said
    assert "b/1:" not in said


def test_a_second_signal_kills_at_once(command: Command) -> None:
    command.configure(a=1)
    command.behave("a", "stubborn")
    with command.started() as process:
        until(lambda: command.count("ready") == 1)
        process.terminate()
        until(lambda: command.count("told") == 1)
        first = time.monotonic()
        until(lambda: time.monotonic() - first > 2 * SAME_S)  # those close together count as one
        assert process.poll() is None
        process.terminate()
        code, said = finished(process)
    assert code == 1
    assert "outcome of its calls is unknown" in said


def test_processes_finish_when_the_fleet_was_killed(command: Command) -> None:
    command.configure(a=2)
    command.behave("a", "busy")
    with command.started() as process:
        until(lambda: command.count("ready") == 2)
        process.kill()
        until(lambda: command.count("alone") == 2)
        assert command.count("ended") == 0
        command.let("finished")
        until(lambda: command.count("ended") == 2)
        assert command.count("told") == 0


def test_a_configuration_that_does_not_load_is_told_and_changes_nothing(command: Command) -> None:
    command.configure(a=1)
    with command.started() as process:
        until(lambda: command.count("ready") == 1)
        (command.folder / "penstock.toml").write_text("[[accounts]]\nnme = 1\n")
        process.send_signal(signal.SIGHUP)
        assert process.stdout is not None
        said = ""
        while "unknown key" not in said:
            said += process.stdout.readline()
        assert "everything stays as it is" in said
        process.terminate()
        assert finished(process)[0] == 0
    assert command.count("began") == 1


def test_a_fleet_needs_its_servers(command: Command) -> None:
    command.configure(a=1)
    path = command.folder / "penstock.toml"
    path.write_text(path.read_text().replace('redis = "redis://127.0.0.1:1/"', ""))
    folder = Folder(command.folder)
    folder.keys = command.environment()
    ended = folder.run("fleet")
    assert ended.code == 2
    assert "[broker] redis: a fleet needs it" in ended.err


def test_its_health_is_that_of_its_processes(command: Command) -> None:
    command.configure(a=2)
    command.behave("a", "slow")
    with command.started(LIMIT_S, "127.0.0.1:0") as process:
        assert process.stdout is not None
        url = process.stdout.readline().rpartition(" ")[2].strip()
        until(lambda: command.count("began") == 2)
        status, facts = asked(f"{url}/readyz")
        assert (status, facts["checks"]) == (503, {"workers": "a: 0 of 2 processes are ready"})
        assert asked(f"{url}/livez")[0] == 200
        command.let("ready")
        until(lambda: asked(f"{url}/readyz")[0] == 200)
        process.terminate()
        assert finished(process)[0] == 0


def test_the_loss_of_its_terminal_stops_it(command: Command) -> None:
    command.configure(a=1)
    terminal, its_end = os.openpty()
    take = (
        "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"
    )
    arguments = [str(command.folder), str(command.folder / "penstock.toml"), str(LIMIT_S)]
    with subprocess.Popen(
        [sys.executable, "-c", take, sys.executable, str(COMMAND), *arguments],
        env=command.environment(),
        stdin=its_end,
        stdout=its_end,
        stderr=its_end,
        start_new_session=True,
    ) as process:
        try:
            os.close(its_end)
            until(lambda: command.count("ready") == 1)
            os.close(terminal)
            until(lambda: command.count("ended") == 1)
            assert process.wait(LIMIT_S) == 0
        finally:
            process.kill()


def asked(url: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(url, timeout=LIMIT_S) as answer:  # noqa: S310 - our own loopback
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
