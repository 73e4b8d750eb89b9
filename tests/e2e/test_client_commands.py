"""The commands that steer a fleet through its database, as people type them; on both databases."""

import asyncio
import json
import signal
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, update

from broker.domain.attempt import AttemptState
from broker.domain.batch import BatchState
from broker.domain.job import JobKey
from broker.store import batches, elections, lock, manifest, submissions, tables, workers
from broker.store.segment import read_segment, unpack_line
from broker.store.submissions import OpenBatch, Submission
from broker.store.submitting import submitting
from broker.testing.builders import a_claim, a_failure, a_report, a_segment, a_submission
from broker.testing.contracts.store import Ledger, opened
from broker.testing.simulator import Simulator, simulator
from tests.e2e.command_line import Folder, ended, row, until

NOWHERE = "http://127.0.0.1:9/v1"


@pytest.fixture
def folder(tmp_path: Path, database_url: str) -> Folder:
    """A folder whose commands find the fleet's database in the environment."""
    made = Folder(tmp_path)
    made.configure(NOWHERE, "north")
    made.keys["PENSTOCK_DATABASE"] = database_url
    return made


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    with opened(database_url) as ledger:
        yield ledger


def bodies(ledger: Ledger, batch_id: int) -> list[bytes]:
    return [
        unpack_line(line).body
        for segment in ledger.read(manifest.segment_rows, batch_id)
        for line in read_segment(ledger.read(manifest.payload, batch_id, segment.number))
    ]


def finish(ledger: Ledger, batch_id: int, positions: range, *, well: bool = True) -> None:
    """Call these rows once."""
    keys = [JobKey(batch_id, position) for position in positions]
    ledger.write(workers.beat, ledger.worker, workers.Signs())  # commands may have taken their time since
    ledger.claim(*(a_claim(key, f"att-{batch_id}-{key.position}-1") for key in keys))
    if well:
        ledger.record(*(a_report(key) for key in keys))
    else:
        ledger.record(*(a_report(key, 1, AttemptState.FAILED, a_failure(key)) for key in keys))


@contextmanager
def holding(ledger: Ledger, held: AbstractAsyncContextManager[None]) -> Iterator[None]:
    """Hold something of the database in this process for as long as the block runs."""
    with asyncio.Runner() as runner:
        runner.run(held.__aenter__())
        try:
            yield
        finally:
            runner.run(held.__aexit__(None, None, None))


def keep_fresh(connection: Connection) -> None:
    """Let nobody look dead, however long the commands of a test take to start."""
    connection.execute(update(tables.elections).values(renewed_at=tables.elections.c.renewed_at + 3_600))
    connection.execute(update(tables.workers).values(heartbeat=tables.workers.c.heartbeat + 3_600))


def test_a_submitted_file_is_a_batch_that_may_run(folder: Folder, ledger: Ledger) -> None:
    folder.jobs(3)
    done = folder.run(
        "submit", "jobs.jsonl", "--tag", "nightly", "--weight", "2.5", "--project", "evals", "--name", "a"
    )
    assert (done.code, done.out) == (0, "1\n")
    assert f"accepted 3 rows of {folder.path / 'jobs.jsonl'} as batch 1" in done.err
    batch = ledger.read(batches.get, 1)
    assert (batch.state, batch.counts.total, batch.output) == (BatchState.RUNNING, 3, None)
    assert (batch.tag, batch.weight, batch.project, batch.name) == ("nightly", 2.5, "evals", "a")
    submitted = [json.dumps(json.loads(row(number))["body"]).encode() for number in range(3)]
    assert bodies(ledger, 1) == submitted


def test_the_same_submission_again_is_the_same_batch(folder: Folder, ledger: Ledger) -> None:
    folder.jobs(3)
    first = folder.run("submit", "jobs.jsonl", "--json").summary()
    again = folder.run("submit", "jobs.jsonl", "--json").summary()
    assert (first["known"], again["known"]) == (False, True)
    assert (again["batch"], again["submission_id"]) == (first["batch"], first["submission_id"])
    piped = folder.run("submit", "-", given=(folder.path / "jobs.jsonl").read_bytes())
    assert (piped.out, len(ledger.read(batches.newest, 9))) == ("1\n", 1)
    assert "standard input is batch 1 already (3 rows, running)" in piped.err
    assert folder.run("submit", "jobs.jsonl", "--tag", "other").out == "2\n"


def test_a_submission_id_belongs_to_its_content(folder: Folder) -> None:
    folder.jobs(3)
    folder.jobs(4, "more.jsonl")
    assert folder.run("submit", "jobs.jsonl", "--submission-id", "monday").out == "1\n"
    assert folder.run("submit", "jobs.jsonl", "--submission-id", "tuesday").out == "2\n"
    other = folder.run("submit", "more.jsonl", "--submission-id", "monday")
    assert (other.code, other.out) == (2, "")
    assert "submission id monday belongs to batch 1, which had another input (or other options); submit" in other.err


def test_a_name_is_given_once(folder: Folder) -> None:
    folder.jobs(3)
    folder.jobs(4, "more.jsonl")
    folder.run("submit", "jobs.jsonl", "--name", "evals")
    other = folder.run("submit", "more.jsonl", "--name", "evals")
    assert (other.code, other.err) == (2, "the name evals belongs to batch 1; choose another one\n")


def test_a_file_with_bad_rows_is_refused_whole_or_taken_leniently(folder: Folder, ledger: Ledger) -> None:
    folder.jobs(3, model=lambda number: "nobody's" if number == 1 else "m")
    refused = folder.run("submit", "jobs.jsonl")
    assert (refused.code, refused.out) == (2, "")
    assert "line 2: " in refused.err
    assert "1 of 3 rows cannot be accepted; nothing was started (--lenient accepts the others)" in refused.err
    assert ledger.read(batches.newest, 9) == []
    taken = folder.run("submit", "jobs.jsonl", "--lenient")
    assert taken.code == 0
    assert "1 row did not validate and failed" in taken.err
    counts = ledger.read(batches.get, int(taken.out)).counts
    assert (counts.total, counts.failed) == (3, 1)


def test_of_two_that_submit_the_same_one_waits_and_others_do_not(tmp_path: Path, postgres_url: str) -> None:
    folder = Folder(tmp_path)
    folder.configure(NOWHERE, "north")
    folder.keys["PENSTOCK_DATABASE"] = postgres_url
    folder.jobs(3)
    with opened(postgres_url) as fleet, ExitStack() as started:
        with holding(fleet, submitting(fleet.database, "default", "mine")):
            assert folder.run("submit", "jobs.jsonl", "--submission-id", "another").out == "1\n"
            process = started.enter_context(folder.started("submit", "jobs.jsonl", "--submission-id", "mine"))
            assert process.stderr is not None
            assert process.stderr.readline() == "another process is submitting the same; waiting for its end\n"
            assert len(fleet.read(batches.newest, 9)) == 1
        assert ended(process).out == "2\n"


def test_submitting_leaves_the_lock_of_the_embedded_mode_alone(folder: Folder, ledger: Ledger) -> None:
    folder.jobs(3)
    with holding(ledger, lock.held(ledger.database)):
        done = folder.run("submit", "jobs.jsonl")
    if ledger.database.url.get_backend_name() == "postgresql":
        assert done.out == "1\n"
        return
    assert (done.code, done.out) == (2, "")
    assert "is in use by process" in done.err
    assert folder.run("submit", "jobs.jsonl").out == "1\n"


def test_a_paused_batch_is_resumed(folder: Folder, ledger: Ledger) -> None:
    batch_id = str(ledger.batch(3))
    assert "batch 1 is paused with 3 rows left" in folder.run("pause", batch_id).out
    assert ledger.read(batches.get, 1).state is BatchState.PAUSED
    assert folder.run("pause", batch_id).out == "batch 1 is paused already\n"
    assert "paused" in folder.run("batches").out
    assert "batch 1 may run again, with 3 rows left" in folder.run("resume", batch_id).out
    assert ledger.read(batches.get, 1).state is BatchState.RUNNING
    assert folder.run("resume", batch_id).out == "batch 1 is running already\n"


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_what_cannot_be_paused_or_resumed_says_why(folder: Folder, ledger: Ledger, command: str) -> None:
    ledger.write(manifest.open_batch, a_submission())
    finish(ledger, ledger.batch(1), range(1))
    ledger.write(batches.move, ledger.batch(1), BatchState.CANCELLING)
    receiving, completed, cancelling, missing = (folder.run(command, str(number)) for number in (1, 2, 3, 4))
    assert [done.code for done in (receiving, completed, cancelling, missing)] == [2] * 4
    assert "the input of batch 1 is still being read" in receiving.err
    assert f"batch 2 is completed: there is nothing to {command}" in completed.err
    assert f"batch 3 is being cancelled: there is nothing to {command}" in cancelling.err
    assert "there is no batch 4" in missing.err
    states = [batch.state for batch in ledger.read(batches.newest, 9)]
    assert states == [BatchState.CANCELLING, BatchState.COMPLETED, BatchState.RECEIVING]


def test_an_open_batch_is_sealed_once(folder: Folder, ledger: Ledger) -> None:
    jobs = OpenBatch(project="evals", name="standing", dialect="openai", source="AMQP")
    this = Submission(project="evals", submission_id="m-1", body_hash="1")
    ledger.write(submissions.append, this, jobs, lambda at: [a_segment(range(at, at + 2))], lambda _: "ok")
    finish(ledger, 1, range(2))
    assert "; open, more rows may come until it is sealed" in folder.run("status").out
    assert "running, open" in folder.run("batches").out
    sealed = folder.run("seal", "1")
    assert (sealed.code, sealed.out) == (0, "batch 1 is sealed with 2 rows, 0 rows left; it is completed\n")
    assert folder.run("seal", "1").out == "batch 1 takes no more jobs already; it is completed\n"
    assert folder.run("seal", "2").code == 2


def test_cancelling_leaves_the_workers_of_a_fleet_alone(folder: Folder, ledger: Ledger) -> None:
    key = JobKey(ledger.batch(3), 0)
    ledger.claim(a_claim(key, "att-1-0-1"))
    ledger.write(elections.stand, "reaper", "serve-1", None)
    done = folder.run("cancel", "1")
    assert (done.code, done.err) == (0, "")
    assert "batch 1 is being cancelled; `penstock serve` finishes it" in done.out
    assert ledger.read(batches.get, 1).state is BatchState.CANCELLING
    assert ledger.read(workers.open_attempts, ledger.worker).keys() == {"att-1-0-1"}
    assert [beat.worker_id for beat in ledger.read(workers.beats)] == [ledger.worker]


def test_status_says_who_works_for_the_fleet_and_what_is_missing(folder: Folder, ledger: Ledger) -> None:
    folder.jobs(4, model=lambda number: "m" if number else "m@account-south")
    url = folder.keys["PENSTOCK_DATABASE"]
    folder.configure(NOWHERE, "north", "south")
    folder.keys["PENSTOCK_DATABASE"] = url
    folder.run("submit", "jobs.jsonl")
    assert "waits: no `penstock serve` feeds it (none ever has)" in folder.run("status").out
    ledger.write(elections.stand, "feeder", "serve-1", None)
    with ExitStack() as held:
        if ledger.database.url.get_backend_name() == "sqlite":  # where only its holder can be alive
            held.enter_context(holding(ledger, lock.held(ledger.database)))
        ledger.write(workers.register, "w-2", "account-north")
        ledger.write(workers.stop, ledger.worker)
        ledger.write(keep_fresh)
        text = folder.run("status").out
        facts = json.loads(folder.run("status", "--json").out)
    assert "state    running, by the fleet" in text
    assert "works    account-north: 1 process, 0 calls in flight" in text
    assert "waits    for a worker that serves m@account-south: none that is alive does" in text
    assert (facts["fed"], facts["unserved"]) == (True, ["m@account-south"])


def test_failed_rows_are_retried_as_a_batch_of_their_own(folder: Folder, ledger: Ledger) -> None:
    old = ledger.batch(4)
    finish(ledger, old, range(2), well=False)
    finish(ledger, old, range(2, 4))
    done = folder.run("retry", "1")
    assert (done.code, done.out, done.err) == (0, "2\n", "2 rows of batch 1 run again as batch 2\n")
    assert bodies(ledger, 2) == [b'{"prompt":0}', b'{"prompt":1}']
    assert ledger.read(batches.get, 2).continues == 1
    again = folder.run("retry", "1", "--json")
    assert again.summary() == {"batch": 2, "continues": 1, "state": "running", "known": True, "total": 2}
    assert folder.run("retry", "1", "--again").out == "3\n"
    nothing = folder.run("retry", "1", "--state", "expired", "--state", "cancelled")
    assert (nothing.code, nothing.out) == (2, "")
    assert "batch 1 has no cancelled or expired rows (it is completed)" in nothing.err
    assert folder.run("retry", "1", "--state", "succeeded").code == 2
    listed = json.loads(folder.run("batches", "--json").out)
    assert [batch["continues"] for batch in listed] == [1, 1, None]


def test_results_are_followed_to_the_end_of_the_batch(folder: Folder, ledger: Ledger) -> None:
    batch_id = ledger.batch(6)
    finish(ledger, batch_id, range(2))
    with folder.started("results", "1", "--follow") as following:
        assert following.stdout is not None
        assert [json.loads(following.stdout.readline())["custom_id"] for _ in range(2)] == ["row-0", "row-1"]
        finish(ledger, batch_id, range(2, 4))
        assert [json.loads(following.stdout.readline())["custom_id"] for _ in range(2)] == ["row-2", "row-3"]
        assert following.poll() is None
        finish(ledger, batch_id, range(4, 6))
        done = ended(following)
    assert (done.code, done.err) == (0, "")
    assert done.out.count("\n") == 2


def test_following_that_is_interrupted_says_how_to_go_on(folder: Folder, ledger: Ledger) -> None:
    batch_id = ledger.batch(6)
    finish(ledger, batch_id, range(4))
    with folder.started("results", "1", "--follow", "--output", "seen.jsonl", "--after", "1") as following:
        until(lambda: len(folder.lines("seen.jsonl")) == 3)
        following.send_signal(signal.SIGINT)
        done = ended(following)
    assert (done.code, done.err) == (130, "stopped; go on with --after 4\n")
    finish(ledger, batch_id, range(4, 6))
    assert folder.run("results", "1", "--follow", "--output", "seen.jsonl", "--after", "4").code == 0
    assert [line["custom_id"] for line in folder.lines("seen.jsonl")] == [f"row-{number}" for number in range(1, 6)]


@pytest.fixture
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    config = '[latency]\nfirst_token_s = 0.05\n[[keys]]\nname = "good"\n'
    with simulator(tmp_path_factory.mktemp("provider"), config) as running:
        yield running


def test_pausing_stops_a_run_and_resuming_lets_it_go_on(tmp_path: Path, provider: Simulator) -> None:
    folder = Folder(tmp_path)
    folder.configure(provider.base_url, "good", rpm=6_000)
    folder.jobs(300)
    with folder.started("run", "jobs.jsonl", "--output", "out.jsonl") as process:
        until(lambda: len(folder.lines()) > 10)
        assert folder.run("pause", "1").code == 0
        until(lambda: json.loads(folder.run("status", "--json").out)["in_flight"] == 0)
        paid = len(provider.ledger())
        assert paid < 300
        facts = json.loads(folder.run("status", "--json").out)
        assert (facts["state"], facts["succeeded"]) == ("paused", paid)
        assert folder.run("resume", "1").code == 0
        assert ended(process).code == 0
    assert len(folder.answers()) == 300 == len(provider.ledger())
