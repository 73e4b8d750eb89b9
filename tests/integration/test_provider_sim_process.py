"""The simulated provider as a process of its own."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulators import DEADLINE_S, Caller, with_sim

ROOT = Path(__file__).resolve().parents[2]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "workers.provider_sim", *arguments]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_process_says_where_it_listens_and_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    ready = tmp_path / "ready"
    arguments = command("--port", "0", "--key", "a=600", "--ready-file", str(ready))
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            line = process.stdout.readline()
            assert ready.read_text().strip() in line
            process.send_signal(number)
            # Not communicate(): it would miss what readline has buffered.
            output, errors = process.stdout.read(), process.stderr.read()
            process.wait(DEADLINE_S)
        finally:
            process.kill()
    assert process.returncode == 0
    assert errors == ""
    assert "base_url" in output


def test_the_process_names_a_wrong_key_and_starts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sim.toml"
    path.write_text('[[keys]]\nname = "a"\nrpm = 5\n')
    done = subprocess.run(
        command("--config", str(path)), cwd=ROOT, capture_output=True, text=True, check=False, timeout=DEADLINE_S
    )
    assert done.returncode == 2
    assert "keys.0.rpm: unknown key" in done.stderr


def test_a_port_that_is_taken_is_an_error_not_a_trace() -> None:
    async def check(caller: Caller) -> None:
        port = caller.sim.url.rpartition(":")[2]
        process = await asyncio.create_subprocess_exec(
            *command("--port", port), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        _, errors = await process.communicate()
        assert process.returncode == 2
        assert b"Traceback" not in errors

    with_sim(check)
