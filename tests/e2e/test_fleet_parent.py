"""What a worker process and whoever started it know of each other."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.command_line import until

WATCHER = Path(__file__).with_name("parent_watcher.py")
ROOT = WATCHER.parents[2]


@contextmanager
def a_watcher(file: Path, **descriptors: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Start it with these open files under these names."""
    names = {name: str(number) for name, number in descriptors.items()}
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | names  # noqa: TID251 - handed on
    with subprocess.Popen(
        [sys.executable, WATCHER, file], env=environment, pass_fds=tuple(descriptors.values())
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def pipes() -> Iterator[list[int]]:
    """Two pipes: read, write, read, write."""
    descriptors = [*os.pipe(), *os.pipe()]
    yield descriptors
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)


def test_it_says_that_it_is_ready_and_notices_that_its_parent_is_gone(tmp_path: Path, pipes: list[int]) -> None:
    ready, tell, watch, hold = pipes
    with a_watcher(tmp_path / "gone", PENSTOCK_READY_FD=tell, PENSTOCK_PARENT_FD=watch) as process:
        assert os.read(ready, 6) == b"ready\n"
        assert process.poll() is None
        assert not (tmp_path / "gone").exists()
        os.close(hold)
        pipes[3] = -1
        assert process.wait(30) == 0
    assert (tmp_path / "gone").exists()


def test_a_process_that_was_started_by_hand_waits_for_nobody(tmp_path: Path, pipes: list[int]) -> None:
    ready, tell, *_ = pipes
    with a_watcher(tmp_path / "gone", PENSTOCK_READY_FD=tell) as process:
        assert os.read(ready, 6) == b"ready\n"
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM
    assert not (tmp_path / "gone").exists()


def test_a_number_that_is_no_pipe_is_not_touched(tmp_path: Path, pipes: list[int]) -> None:
    """The environment may have been handed on by a process that did not hand on the pipes."""
    *_, watch, hold = pipes
    file = tmp_path / "something else"
    with (
        file.open("wb") as other,
        a_watcher(tmp_path / "gone", PENSTOCK_READY_FD=other.fileno(), PENSTOCK_PARENT_FD=watch) as process,
    ):
        os.close(hold)
        pipes[3] = -1
        assert process.wait(30) == 0
    assert file.read_bytes() == b""


def test_nobody_has_to_listen(tmp_path: Path, pipes: list[int]) -> None:
    ready, tell, watch, hold = pipes
    os.close(ready)
    pipes[0] = -1
    with a_watcher(tmp_path / "gone", PENSTOCK_READY_FD=tell, PENSTOCK_PARENT_FD=watch) as process:
        os.close(hold)
        pipes[3] = -1
        assert process.wait(30) == 0
    until((tmp_path / "gone").exists)
