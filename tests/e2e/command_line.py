"""The real command in processes of its own, in a folder of its own, against a simulated provider."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PENSTOCK = Path(sys.executable).with_name("penstock")
LIMIT_S = 60.0
_ACCOUNT = """
[[accounts]]
name = "{name}"
provider = "openai"
base_url = "{base_url}"
api_key = "env:KEY_{number}"
models = {models}
limits = {{ requests_per_minute = {rpm} }}
prices = {{ m = {{ input = 1.0, output = 2.0 }} }}
"""


class Folder:
    """A user's folder: a configuration, batch files, the database, and the command run in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys: dict[str, str] = {}

    def configure(self, base_url: str, *keys: str, models: str = '{ m = "m" }', rpm: int = 60_000) -> None:
        """Write penstock.toml with an account for each of the provider's keys."""
        sections = [
            _ACCOUNT.format(name=f"account-{key}", base_url=base_url, number=number, models=models, rpm=rpm)
            for number, key in enumerate(keys)
        ]
        (self.path / "penstock.toml").write_text("".join(sections))
        self.keys = {f"KEY_{number}": key for number, key in enumerate(keys)}

    def jobs(self, count: int, name: str = "jobs.jsonl", model: Callable[[int], str] = lambda _: "m") -> Path:
        """Write a batch file with the prompts `question 0`, `question 1`, …"""
        path = self.path / name
        path.write_text("".join(row(number, model(number)) for number in range(count)))
        return path

    def run(self, *arguments: str, given: bytes | None = None) -> "Ended":
        """Run `penstock` with these arguments to its end."""
        command: Sequence[str | Path] = [PENSTOCK, *arguments]
        done = subprocess.run(
            command,
            cwd=self.path,
            env=self._environment(),
            input=given,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    def shell(self, line: str) -> int:
        """Run a line of the shell to its end; returns the exit status."""
        return subprocess.run(
            ["/bin/sh", "-c", line], cwd=self.path, env=self._environment(), timeout=LIMIT_S, check=False
        ).returncode

    @contextmanager
    def started(self, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        """Start `penstock` with these arguments; killed at the end of the block if it still runs."""
        command: Sequence[str | Path] = [PENSTOCK, *arguments]
        process = subprocess.Popen(
            command, cwd=self.path, env=self._environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def lines(self, name: str = "out.jsonl") -> list[dict[str, Any]]:
        """The whole lines of an output file so far."""
        path = self.path / name
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]

    def answers(self, name: str = "out.jsonl") -> Mapping[str, str]:
        """The text of each good answer, by `custom_id`."""
        return {
            line["custom_id"]: line["response"]["body"]["choices"][0]["message"]["content"]
            for line in self.lines(name)
            if line["response"] and line["response"]["status_code"] == 200
        }

    def _environment(self) -> Mapping[str, str]:
        return os.environ | self.keys | {"COLUMNS": "200", "NO_COLOR": "1"}  # noqa: TID251 - handed on to the command


class Ended:
    """What a command left behind."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err
        assert "Traceback" not in err, err

    def summary(self) -> dict[str, Any]:
        """The JSON in the last line of standard output."""
        facts: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return facts


def ended(process: "subprocess.Popen[str]") -> Ended:
    """Wait for a started command."""
    out, err = process.communicate(timeout=LIMIT_S)
    return Ended(process.returncode, out, err)


def row(number: int, model: str = "m") -> str:
    """A line of a batch file."""
    body = {"model": model, "messages": [{"role": "user", "content": prompt(number)}]}
    return (
        json.dumps({"custom_id": f"row-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}) + "\n"
    )


def prompt(number: int) -> str:
    return f"question {number}"


def until(happened: Callable[[], bool]) -> None:
    """Wait for something in another process; fails when it does not happen."""
    deadline = time.monotonic() + LIMIT_S
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
