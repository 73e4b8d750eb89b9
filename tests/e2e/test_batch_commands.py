"""The commands that look at batches, beside a run and after it, and the one that cancels."""

import csv
import io
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.testing.simulator import Simulator, simulator
from tests.e2e.command_line import Folder, ended, until

ROWS = 200
LOOKING = ["batches", "status", "results 1", "cancel 1", "usage", "db current"]


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    config = '[latency]\nfirst_token_s = 0.1\n[[keys]]\nname = "good"\n'
    with simulator(tmp_path_factory.mktemp("provider"), config) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, provider: Simulator) -> Folder:
    made = Folder(tmp_path)
    made.configure(provider.base_url, "good", rpm=1_200)
    made.jobs(ROWS)
    return made


@pytest.fixture
def interrupted(folder: Folder) -> Folder:
    """A folder with a batch that was stopped on the way."""
    with folder.started("run", "jobs.jsonl", "--output", "out.jsonl", "--tag", "nightly") as process:
        until(lambda: len(folder.lines()) > 10)
        process.send_signal(signal.SIGINT)
        ended(process)
    return folder


def test_a_running_batch_can_be_looked_at(folder: Folder, provider: Simulator) -> None:
    folder.configure(provider.base_url, "good", rpm=600)  # long enough for all these commands on a busy machine
    with folder.started("run", "jobs.jsonl", "--output", "out.jsonl") as process:
        until(lambda: len(folder.lines()) > 10)
        status = folder.run("status")
        assert status.code == 0
        assert f"running, by process {process.pid} on" in status.out
        assert f"of {ROWS} done" in status.out
        assert "in the end" in status.out
        assert "ends     in " in status.out
        facts = json.loads(folder.run("status", "1", "--json").out)
        assert 0 < facts["succeeded"] < ROWS
        assert facts["eta_s"] > 0
        process.send_signal(signal.SIGSTOP)  # it holds its batch, and gets no further while we look
        first = folder.run("results", "1")
        assert first.code == 0
        seen = first.out.count("\n")
        assert f"more may come; go on with --after {seen}" in first.err
        (line,) = json.loads(folder.run("usage", "--by", "batch", "--json").out)
        assert 0 < line["calls"] <= ROWS
        assert "running" in folder.run("batches").out
        process.send_signal(signal.SIGCONT)
        assert ended(process).code == 0
    rest = folder.run("results", "1", "--after", str(seen))
    assert rest.err == ""
    named = [json.loads(text)["custom_id"] for text in (first.out + rest.out).splitlines()]
    assert sorted(named) == sorted(f"row-{number}" for number in range(ROWS))


def test_results_are_never_written_over_an_output(interrupted: Folder) -> None:
    before = (interrupted.path / "out.jsonl").read_bytes()
    (interrupted.path / "link.jsonl").symlink_to("out.jsonl")
    for name in ("out.jsonl", "link.jsonl"):
        done = interrupted.run("results", "1", "--output", name)
        assert done.code == 2
        assert f"{name} is the output of batch 1 itself" in done.err
    assert (interrupted.path / "out.jsonl").read_bytes() == before


def test_a_running_batch_is_cancelled_by_its_process(folder: Folder, provider: Simulator) -> None:
    before = len(provider.ledger())
    with folder.started("run", "jobs.jsonl", "--output", "out.jsonl", "--json") as process:
        until(lambda: len(folder.lines()) > 10)
        done = folder.run("cancel", "1")
        assert done.code == 0
        assert f"process {process.pid} on" in done.out
        facts = ended(process)
    assert facts.code == 1
    summary = facts.summary()
    assert (summary["state"], summary["failed"]) == ("cancelled", 0)
    assert summary["succeeded"] + summary["cancelled"] == ROWS == len(folder.lines())
    assert summary["succeeded"] == len(provider.ledger()) - before
    assert "the batch was cancelled" in facts.err


def test_a_batch_that_nobody_runs_is_cancelled_at_once(interrupted: Folder) -> None:
    kept = len(interrupted.lines())
    done = interrupted.run("cancel", "1")
    assert done.code == 0
    assert f"batch 1 is cancelled: {kept} results are kept, {ROWS - kept} rows were not run" in done.out
    assert "is cancelled already" in interrupted.run("cancel", "1").out
    again = interrupted.run("run", "jobs.jsonl", "--output", "out.jsonl", "--json")
    assert again.code == 1
    assert (again.summary()["succeeded"], again.summary()["cancelled"]) == (kept, ROWS - kept)
    only = interrupted.run("results", "1", "--state", "succeeded", "--output", "good.jsonl")
    assert (only.code, only.out) == (0, "")
    assert len(interrupted.lines("good.jsonl")) == kept


def test_calls_of_a_killed_process_are_closed_by_the_cancelling(folder: Folder) -> None:
    with folder.started("run", "jobs.jsonl", "--output", "out.jsonl") as process:
        until(lambda: len(folder.lines()) > 10)
        process.kill()
        process.communicate()
    assert (
        f"nothing runs it; resume with: penstock run {folder.path / 'jobs.jsonl'} --output" in folder.run("status").out
    )
    assert "batch 1 is cancelled" in folder.run("cancel", "1").out
    facts = json.loads(folder.run("status", "--json").out)
    assert facts["succeeded"] + facts["cancelled"] == ROWS
    assert facts["in_flight"] == 0
    (line,) = json.loads(folder.run("usage", "--by", "project", "--json").out)
    assert line["unknown"] > 0


def test_usage_is_the_same_by_whatever_it_is_summed(interrupted: Folder) -> None:
    sums = set()
    for by in (
        "project",
        "tag",
        "batch",
        "account",
        "provider",
        "model",
        "day",
        "batch,account,day",
        "account,model,tag",
    ):
        lines = json.loads(interrupted.run("usage", "--by", by, "--json").out)
        sums.add((sum(line["calls"] for line in lines), sum(line["output_tokens"] for line in lines), lines[0]["cost"]))
    assert len(sums) == 1
    table = list(csv.DictReader(io.StringIO(interrupted.run("usage", "--by", "tag,batch", "--csv").out)))
    assert [(row["tag"], row["batch"]) for row in table] == [("nightly", "1")]
    shown = interrupted.run("usage").out.splitlines()
    assert shown[0].split()[:3] == ["account", "model", "calls"]
    assert shown[1].split()[:2] == ["account-good", "m"]


def test_a_finished_batch_cannot_be_cancelled(folder: Folder, provider: Simulator) -> None:
    folder.configure(provider.base_url, "good")
    folder.jobs(3)
    folder.run("run", "jobs.jsonl", "--output", "out.jsonl")
    done = folder.run("cancel", "1")
    assert done.code == 2
    assert "batch 1 is completed: there is nothing to cancel" in done.err
    assert "state    completed" in folder.run("status", "1").out


@pytest.mark.parametrize("command", LOOKING)
def test_looking_makes_no_database(folder: Folder, command: str) -> None:
    done = folder.run(*command.split())
    assert done.code == 2
    assert f"there is no database {folder.path / 'penstock.db'}" in done.err
    assert not (folder.path / "penstock.db").exists()


def test_the_schema_is_prepared_checked_and_never_changed_by_looking(folder: Folder) -> None:
    (folder.path / "penstock.db").touch()
    for command in ("batches", "status"):
        done = folder.run(command)
        assert done.code == 2
        assert "the database is empty" in done.err
    assert "has schema nothing" in folder.run("db", "current").out
    assert folder.run("db", "upgrade").out.startswith("the schema went from nothing to ")
    assert "is up to date" in folder.run("db", "upgrade").out
    assert folder.run("status").err == "no batches yet; `penstock run` or `penstock submit` makes one\n"
    assert "there is no batch 7" in folder.run("results", "7", "--output", "results.jsonl").err
    assert not (folder.path / "results.jsonl").exists()


def test_the_schema_is_not_touched_while_a_process_runs(folder: Folder) -> None:
    with folder.started("run", "jobs.jsonl", "--output", "out.jsonl") as process:
        until(lambda: len(folder.lines()) > 0)
        done = folder.run("db", "upgrade")
        assert done.code == 2
        assert f"in use by process {process.pid}" in done.err
