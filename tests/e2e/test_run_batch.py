"""`penstock run batch:N`: a batch that is in the database already, submitted or made of another's failed rows."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.testing.simulator import Simulator, simulator
from tests.e2e.command_line import Folder

ROWS = 12


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulator(tmp_path_factory.mktemp("provider"), '[[keys]]\nname = "good"\n') as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, provider: Simulator) -> Folder:
    made = Folder(tmp_path)
    made.configure(provider.base_url, "good", rpm=60_000)
    made.jobs(ROWS)
    return made


def names(folder: Folder, file: str) -> list[str]:
    return sorted(json.loads(line)["custom_id"] for line in (folder.path / file).read_text().splitlines())


def test_a_submitted_batch_is_run_and_run_again_from_its_results(folder: Folder) -> None:
    assert folder.run("submit", "jobs.jsonl", "--name", "nightly").out.strip() == "1"
    first = folder.run("run", "batch:1", "--output", "out.jsonl")
    assert first.code == 0, first.err
    assert names(folder, "out.jsonl") == sorted(f"row-{number}" for number in range(ROWS))
    again = folder.run("run", "batch:1", "--output", "out.jsonl")
    assert again.code == 0, again.err
    (line,) = json.loads(folder.run("usage", "--json").out)
    assert line["calls"] == ROWS


def test_the_output_of_a_batch_is_not_changed_without_being_told_to(folder: Folder) -> None:
    folder.run("submit", "jobs.jsonl")
    assert folder.run("run", "batch:1", "--output", "out.jsonl").code == 0
    refused = folder.run("run", "batch:1", "--output", "other.jsonl")
    assert refused.code == 2
    assert "out.jsonl; name that, or change it with --new" in refused.err
    assert folder.run("run", "batch:1", "--output", "other.jsonl", "--new").code == 0
    assert len(names(folder, "other.jsonl")) == ROWS


def test_a_file_of_somebody_elses_is_not_overwritten(folder: Folder) -> None:
    folder.run("submit", "jobs.jsonl")
    (folder.path / "out.jsonl").write_text("mine\n")
    refused = folder.run("run", "batch:1", "--output", "out.jsonl")
    assert refused.code == 2
    assert (folder.path / "out.jsonl").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["batch:7"], "there is no batch 7"),
        (["batch:1", "--lenient"], "for an input that is read"),
        (["batch:1", "--tag", "t"], "for an input that is read"),
    ],
)
def test_what_cannot_be_meant_is_refused(folder: Folder, arguments: list[str], why: str) -> None:
    folder.run("submit", "jobs.jsonl")
    refused = folder.run("run", *arguments, "--output", "out.jsonl")
    assert refused.code == 2
    assert why in " ".join(refused.err.replace("│", " ").split())
