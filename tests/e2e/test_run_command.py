"""`penstock run` as its user meets it: exit statuses, files, messages, interruptions."""

import gzip
import json
import shlex
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.cli.signals import SAME_S
from broker.testing.simulator import Simulator, simulator
from tests.e2e.command_line import PENSTOCK, Folder, ended, prompt, row, until
from workers.provider_sim.answers import expected_text

SIM = """
models = ["m"]
[latency]
first_token_s = 0.05
[[keys]]
name = "good"
[[keys]]
name = "revoked"
revoked_after_calls = 3
"""
SLOW_RPM = 1_200


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulator(tmp_path_factory.mktemp("provider"), SIM) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, provider: Simulator) -> Folder:
    made = Folder(tmp_path)
    made.configure(provider.base_url, "good")
    return made


def expected(count: int) -> dict[str, str]:
    return {f"row-{number}": expected_text(prompt(number)) for number in range(count)}


def test_every_row_is_answered_and_the_summary_adds_up(folder: Folder) -> None:
    folder.jobs(40)
    done = folder.run("run", "jobs.jsonl", "--output", "out.jsonl", "--json")
    assert done.code == 0, done.err
    assert folder.answers() == expected(40)
    facts = done.summary()
    counts = {name: facts[name] for name in ("total", "succeeded", "failed", "cancelled", "expired")}
    assert counts == {"total": 40, "succeeded": 40, "failed": 0, "cancelled": 0, "expired": 0}
    assert facts["attempts"]["total"] == facts["attempts"]["ok"] == 40
    assert 0 < facts["makespan_s"] <= facts["elapsed_s"]
    usage = facts["usage"]
    answers = [line["response"]["body"]["usage"] for line in folder.lines()]
    assert usage["input_tokens"] == sum(answer["prompt_tokens"] for answer in answers)
    assert usage["output_tokens"] == sum(answer["completion_tokens"] for answer in answers)
    assert facts["cost"] == f"{(usage['input_tokens'] + 2 * usage['output_tokens']) / 1e6:.10f}".rstrip("0")
    assert facts["accounts"]["account-good"]["usage"] == usage
    assert facts["state"] == "completed"
    assert facts["output"] == str(folder.path / "out.jsonl")
    assert done.out.count("\n") == 1


def test_rows_that_fail_make_the_status_1_and_go_to_the_error_file(folder: Folder, provider: Simulator) -> None:
    folder.configure(provider.base_url, "good", models='{ m = "m", other = "nowhere" }')
    folder.jobs(10, model=lambda number: "other" if number % 5 == 0 else "m")
    done = folder.run("run", "jobs.jsonl", "--output", "out.jsonl", "--errors", "err.jsonl")
    assert done.code == 1
    assert sorted(folder.answers()) == sorted(f"row-{number}" for number in range(10) if number % 5)
    assert sorted(line["custom_id"] for line in folder.lines("err.jsonl")) == ["row-0", "row-5"]
    assert "8 of 10 rows succeeded, 2 failed" in done.out
    assert "model_not_found (2)" in done.out
    assert "errors: err.jsonl" in done.out
    again = folder.run("run", "jobs.jsonl", "--output", "out.jsonl")
    assert again.code == 1
    assert len(folder.lines()) == 10


def test_bad_rows_refuse_the_file_by_line_and_nothing_is_started(folder: Folder) -> None:
    (folder.path / "jobs.jsonl").write_text(row(0) + "{not json}\n" + row(0) + row(1, "unheard-of"))
    done = folder.run("run", "jobs.jsonl", "--output", "out.jsonl", "--json")
    assert done.code == 2
    assert [line.partition(":")[0] for line in done.err.splitlines()[:3]] == ["line 2", "line 3", "line 4"]
    assert "3 of 4 rows cannot be accepted; nothing was started" in done.err
    assert done.out == ""
    assert not (folder.path / "out.jsonl").exists()
    assert folder.run("batches").err.strip() == "no batches yet"


def test_lenient_runs_the_good_rows(folder: Folder) -> None:
    (folder.path / "jobs.jsonl").write_text(row(0) + "{not json}\n" + row(1))
    done = folder.run("run", "jobs.jsonl", "--output", "out.jsonl", "--lenient", "--json")
    assert done.code == 1
    assert folder.answers() == expected(2)
    assert done.summary()["error_codes"] == {"invalid_json": 1}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config", "nowhere.toml"], "nowhere.toml: no such file"),
        (["--database", "mysql://x"], "mysql is not supported"),
        (["--database", "sqlite:///no/such/folder/x.db"], "is no folder"),
        (["--errors", "jobs.jsonl"], "--errors and the input are the same file"),
        (["--new", "--errors", "penstock.toml"], "--errors and the configuration are the same file"),
        (["--new", "--errors", "penstock.db"], "--errors and the database are the same file"),
        (["--new", "--errors", "penstock.db-wal"], "--errors and the database are the same file"),
        (["--order", "random"], "neither completion nor input"),
    ],
)
def test_what_cannot_be_started_is_told_with_status_2(folder: Folder, arguments: list[str], words: str) -> None:
    folder.jobs(1)
    done = folder.run("run", "jobs.jsonl", "--output", "out.jsonl", *arguments)
    assert done.code == 2
    assert words in done.err
    assert not (folder.path / "penstock.db").exists()
    assert not (folder.path / "out.jsonl").exists()


def test_a_second_process_is_refused_and_told_of_the_first(folder: Folder, provider: Simulator) -> None:
    folder.configure(provider.base_url, "good", rpm=SLOW_RPM)
    folder.jobs(400)
    with folder.started("run", "jobs.jsonl", "--output", "out.jsonl") as first:
        until(lambda: len(folder.lines()) > 0)
        done = folder.run("run", "jobs.jsonl", "--output", "other.jsonl")
        assert done.code == 2
        assert f"is in use by process {first.pid} on" in done.err
        assert not (folder.path / "other.jsonl").exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_goes_on_by_the_command_that_it_names(
    folder: Folder, provider: Simulator, how: signal.Signals
) -> None:
    folder.configure(provider.base_url, "good", rpm=SLOW_RPM)
    folder.jobs(120, f"jobs {how.name}.jsonl")
    arguments = ["run", f"jobs {how.name}.jsonl", "--output", "out.jsonl", "--tag", how.name, "--new"]
    before = len(provider.ledger())
    with folder.started(*arguments) as process:
        until(lambda: len(folder.lines()) > 5)
        process.send_signal(how)
        stopped = ended(process)
    assert stopped.code == 130, stopped.err
    command = shlex.split(stopped.out.splitlines()[-1])
    assert command[0] == "penstock"
    assert "--new" not in command
    finished = len(folder.lines())
    assert 5 < finished < 120
    status = folder.run("status")
    assert f"nothing runs it; resume with: penstock run '{folder.path / f'jobs {how.name}.jsonl'}'" in status.out
    folder.configure(provider.base_url, "good")
    done = folder.run(*command[1:], "--json")
    assert done.code == 0, done.err
    assert folder.answers() == expected(120)
    assert len(provider.ledger()) - before == 120 == done.summary()["attempts"]["total"]
    assert Counter(line["custom_id"] for line in folder.lines()).most_common(1)[0][1] == 1


def test_a_second_interrupt_aborts_the_calls_and_counts_them(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "slow").mkdir()
    slow = '[latency]\nfirst_token_s = 300\n[[keys]]\nname = "good"\n'
    with simulator(tmp_path / "slow", slow) as provider:
        folder.configure(provider.base_url, "good")
        folder.jobs(5)
        with folder.started("run", "jobs.jsonl", "--output", "out.jsonl", "--json") as process:
            until(lambda: provider.stats()["in_flight"] == 5)
            process.send_signal(signal.SIGINT)
            drained = time.monotonic()
            assert process.stderr is not None
            for line in process.stderr:
                if line.startswith("stopping: waiting for 5 calls"):
                    break
            until(lambda: time.monotonic() - drained > 1.2 * SAME_S)
            process.send_signal(signal.SIGINT)
            stopped = ended(process)
    assert stopped.code == 130
    assert "aborted: the outcome of the calls that were in flight is unknown" in stopped.err
    facts = stopped.summary()
    assert (facts["state"], facts["succeeded"], facts["attempts"]["unknown"]) == ("running", 0, 5)
    assert facts["error"].startswith("aborted")
    (line,) = json.loads(folder.run("usage", "--by", "batch", "--json").out)
    assert (line["calls"], line["unknown"]) == (0, 5)


def test_a_finished_batch_only_writes_its_output_again(folder: Folder, provider: Simulator) -> None:
    folder.jobs(10)
    folder.run("run", "jobs.jsonl", "--output", "out.jsonl")
    (folder.path / "out.jsonl").unlink()
    paid = len(provider.ledger())
    done = folder.run("run", "jobs.jsonl", "--output", "out.jsonl", "--order", "input")
    assert done.code == 0
    assert [line["custom_id"] for line in folder.lines()] == [f"row-{number}" for number in range(10)]
    assert len(provider.ledger()) == paid


def test_another_input_for_the_same_output_needs_new(folder: Folder) -> None:
    folder.jobs(3)
    folder.jobs(4, "more.jsonl")
    assert folder.run("run", "jobs.jsonl", "--output", "out.jsonl").code == 0
    refused = folder.run("run", "more.jsonl", "--output", "out.jsonl")
    assert refused.code == 2
    assert "out.jsonl belongs to batch 1, which had another input" in refused.err
    assert len(folder.lines()) == 3
    assert folder.run("run", "more.jsonl", "--output", "out.jsonl", "--new").code == 0
    assert folder.answers() == expected(4)


def test_a_file_that_is_not_ours_is_left_alone(folder: Folder) -> None:
    folder.jobs(3)
    precious = folder.path / "precious.txt"
    precious.write_text("my thesis\n")
    refused = folder.run("run", "jobs.jsonl", "--output", "precious.txt")
    assert (refused.code, precious.read_text()) == (2, "my thesis\n")
    assert "--new" in refused.err
    assert folder.run("run", "jobs.jsonl", "--output", "out.jsonl").code == 0
    refused = folder.run("run", "jobs.jsonl", "--output", "out.jsonl", "--errors", "precious.txt")
    assert (refused.code, precious.read_text()) == (2, "my thesis\n")
    assert "precious.txt holds something else than results" in refused.err


def test_input_order_is_kept(folder: Folder) -> None:
    folder.jobs(50)
    assert folder.run("run", "jobs.jsonl", "--output", "out.jsonl", "--order", "input").code == 0
    assert [line["custom_id"] for line in folder.lines()] == [f"row-{number}" for number in range(50)]


def test_standard_input_and_archives_are_read(folder: Folder) -> None:
    content = folder.jobs(3).read_bytes()
    assert folder.run("run", "-", "--output", "piped.jsonl", given=content).code == 0
    assert folder.answers("piped.jsonl") == expected(3)
    (folder.path / "jobs.jsonl.gz").write_bytes(gzip.compress(content))
    assert folder.run("run", "jobs.jsonl.gz", "--output", "unpacked.jsonl").code == 0
    assert folder.answers("unpacked.jsonl") == expected(3)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_obstacle(folder: Folder, closed: str) -> None:
    folder.jobs(3)
    arguments = "run jobs.jsonl --output out.jsonl"
    assert folder.shell(f"{shlex.quote(str(PENSTOCK))} {arguments} {closed}") == 0
    assert folder.answers() == expected(3)


def test_with_every_key_refused_the_run_ends_and_goes_on_once_mended(folder: Folder, provider: Simulator) -> None:
    folder.configure(provider.base_url, "revoked")
    folder.jobs(20)
    stopped = folder.run("run", "jobs.jsonl", "--output", "out.jsonl", "--json")
    assert stopped.code == 1
    assert "no account can go on with what is left (account-revoked is revoked: Incorrect API key" in stopped.err
    facts = stopped.summary()
    assert (facts["state"], facts["succeeded"]) == ("running", 3)
    assert "no account can go on" in facts["error"]
    folder.configure(provider.base_url, "good")
    assert folder.run("run", "jobs.jsonl", "--output", "out.jsonl").code == 0
    assert folder.answers() == expected(20)


def test_results_that_cannot_be_written_cost_no_call(folder: Folder, provider: Simulator) -> None:
    folder.configure(provider.base_url, "good", rpm=SLOW_RPM)
    folder.jobs(60)
    before = len(provider.ledger())
    (folder.path / "out.jsonl").symlink_to("/dev/full")
    stopped = folder.run("run", "jobs.jsonl", "--output", "out.jsonl", "--json")
    assert stopped.code == 1
    assert "out.jsonl cannot be written: No space left on device" in stopped.err
    facts = stopped.summary()
    assert (
        facts["attempts"]["total"] == facts["attempts"]["ok"] == facts["succeeded"] == len(provider.ledger()) - before
    )
    (folder.path / "out.jsonl").unlink()
    assert folder.run("run", "jobs.jsonl", "--output", "out.jsonl").code == 0
    assert folder.answers() == expected(60)
    assert len(provider.ledger()) - before == 60
