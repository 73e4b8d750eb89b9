"""The wheel: what is in it, and that it runs where there is no source tree."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAIN = "import sys; from broker.cli import main; sys.argv[0] = 'penstock'; main()"
CONFIG = """
[[accounts]]
name = "sim"
provider = "penstock-sim"
base_url = "{url}/v1"
api_key = "env:SIM_KEY"
models = ["sim-chat"]
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert build.returncode == 0, build.stderr
    (path,) = folder.glob("*.whl")
    return path


class Installed:
    """The unpacked wheel, beside the dependencies, without the source tree."""

    def __init__(self, wheel: Path, folder: Path) -> None:
        self.site = folder / "site"
        self.folder = folder
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(self.site)
        path = [str(self.site), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
        self.environment = {"PYTHONPATH": os.pathsep.join(path), "PATH": os.defpath, "SIM_KEY": "sim"}

    def command(self, *arguments: str) -> list[str]:
        # -S leaves .pth files alone, and with them the editable install of the source tree
        return [sys.executable, "-S", "-c", MAIN, *arguments]

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @contextmanager
    def simulator(self) -> Iterator[str]:
        # The pipe is the ready signal: the URL is printed when it listens
        command = self.command("provider-sim", "--port", "0", "--ready-file", str(self.folder / "url"))
        with subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                assert process.stdout is not None
                first = process.stdout.readline()
                assert "ready at" in first, first + process.stdout.read()
                yield (self.folder / "url").read_text().strip()
            finally:
                process.terminate()


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Installed:
    return Installed(wheel, tmp_path)


def test_the_wheel_holds_packages_migrations_and_licence_and_nothing_that_runs_at_start(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry_points = archive.read(next(n for n in names if n.endswith("entry_points.txt"))).decode()
    revisions = {path.name for path in (ROOT / "migrations" / "versions").glob("*.py")}
    assert revisions
    assert {n.rpartition("/")[2] for n in names if n.startswith("broker/migrations/versions/")} == revisions
    assert "broker/migrations/env.py" in names
    assert "broker/catalog/providers.toml" in names
    assert any(n.endswith("licenses/LICENSE") for n in names)
    assert {n.split("/")[0] for n in names if ".dist-info" not in n} == {"broker", "workers"}
    assert not [n for n in names if n.endswith(".pth")]
    assert "penstock = broker.cli:main" in entry_points


def test_an_installed_wheel_does_not_see_the_source_tree(installed: Installed) -> None:
    where = "import broker.store.migrate as m; print(m.__file__, m.scripts_folder())"
    shown = subprocess.run(
        [sys.executable, "-S", "-c", where], cwd=installed.folder, env=installed.environment, capture_output=True,
        text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert all(Path(path).is_relative_to(installed.site) for path in shown)


def test_an_installed_wheel_shows_help_and_writes_a_configuration(installed: Installed) -> None:
    shown = installed.run("--help")
    assert shown.returncode == 0, shown.stderr
    assert "provider-sim" in shown.stdout
    written = installed.run("init")
    assert written.returncode == 0, written.stderr
    assert "[[accounts]]" in (installed.folder / "penstock.toml").read_text()


def test_an_installed_wheel_drains_a_batch(installed: Installed) -> None:
    rows = [
        {
            "custom_id": f"row-{n}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "sim-chat", "messages": [{"role": "user", "content": f"Is {n} odd?"}]},
        }
        for n in range(5)
    ]
    (installed.folder / "jobs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with installed.simulator() as url:
        (installed.folder / "penstock.toml").write_text(CONFIG.format(url=url))
        run = installed.run("run", "jobs.jsonl", "--output", "out.jsonl")
    assert run.returncode == 0, run.stderr
    lines = [json.loads(line) for line in (installed.folder / "out.jsonl").read_text().splitlines()]
    assert {line["custom_id"] for line in lines} == {row["custom_id"] for row in rows}
    assert {line["response"]["status_code"] for line in lines} == {200}
