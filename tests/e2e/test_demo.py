"""The demo, as `make demo` runs it."""

import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO_S = 110


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a copy of the examples, so that the demo writes its folder beside that."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return tmp_path


@pytest.mark.timeout(DEMO_S + 20)
def test_the_demo_drains_its_batch_and_shows_answers_use_and_cost(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, folder / "examples/demo.py"], cwd=folder, capture_output=True, text=True, timeout=DEMO_S,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "300 answers" in done.stdout
    for shown in ("use by account", "use by model", "north", "south", "harbour", "paid calls"):
        assert shown in done.stdout
    assert re.search(r"\$\s?0\.\d+", done.stdout)
    assert len((folder / "demo/001/answers.jsonl").read_text().splitlines()) == 300
    url = (folder / "demo/001/simulator.url").read_text().strip()
    with pytest.raises(urllib.error.URLError):  # it was stopped
        urllib.request.urlopen(f"{url}/sim/health", timeout=5)  # noqa: S310  # loopback
