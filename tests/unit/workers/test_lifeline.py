"""A dead process of this machine is known as such at once; a living one is not taken for dead."""

import subprocess
import sys
from pathlib import Path

import pytest

from workers.lifeline import Lifeline, fallen

HOLDS = """
import sys
from pathlib import Path
from workers.lifeline import Lifeline
with Lifeline(Path(sys.argv[1]), "process", ["w-1", "w-2"]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_process_that_is_killed_leaves_the_ids_of_its_workers(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert list(fallen(tmp_path)) == []
        process.kill()
    (dead,) = fallen(tmp_path)
    assert dead.worker_ids == ["w-1", "w-2"]
    dead.close(buried=False)
    (dead,) = fallen(tmp_path)
    dead.close(buried=True)
    assert list(tmp_path.iterdir()) == []


def test_one_that_ends_as_it_should_leaves_nothing(tmp_path: Path) -> None:
    with Lifeline(tmp_path, "process", ["w"]):
        assert [path.name for path in tmp_path.iterdir()] == ["process.alive"]
        assert (tmp_path / "process.alive").stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == []


def test_one_that_fails_is_left_to_its_successor(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Lifeline(tmp_path, "process", ["w"]):
        raise RuntimeError
    (dead,) = fallen(tmp_path)
    assert dead.worker_ids == ["w"]
    dead.close(buried=True)
