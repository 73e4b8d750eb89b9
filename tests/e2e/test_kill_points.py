"""The process is killed at every step of a job's way, and resumed: nothing is lost, and nothing is paid for unseen."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from broker.store.engine import open_database
from broker.testing.judge import Books, Judgement, judge, open_attempts, read_books, sums_over_batches
from broker.testing.simulator import Simulator, simulator
from workers.provider_sim.answers import expected_text
from workers.work import Step

ROOT = Path(__file__).resolve().parents[2]
KILLABLE = Path(__file__).with_name("killable.py")
JOBS = 24
SLOTS = 6
DEADLINE_S = 60.0
BEFORE_THE_CALL = (Step.TRANSLATED, Step.RESERVED, Step.CLAIMED, Step.ACKED)
SIM = 'keys = [{ name = "a" }]\nlatency = { first_token_s = 0.03, sigma = 0.4 }\nusage = { cached_share = 0.4 }\n'


@dataclass
class Victim:
    """A batch, and a command that drains it until it is killed."""

    folder: Path
    database: str
    sim: Simulator
    expected: dict[str, str] = field(default_factory=dict)

    def prepare(self, jobs: int = JOBS) -> None:
        with (self.folder / "jobs.jsonl").open("w") as file:
            for row in range(jobs):
                text = f"what is row {row}?"
                self.expected[f"row-{row}"] = expected_text(text)
                body = {"model": "m", "messages": [{"role": "user", "content": text}]}
                line = {"custom_id": f"row-{row}", "method": "POST", "url": "/v1/chat/completions", "body": body}
                file.write(json.dumps(line) + "\n")
        (self.folder / "key").write_text("a")
        (self.folder / "penstock.toml").write_text(
            f'[[accounts]]\nname = "a"\nprovider = "openai-compatible"\nbase_url = "{self.sim.base_url}"\n'
            f'api_key = "file:key"\nmodels = ["m"]\nworker_concurrency = {SLOTS}\n'
        )

    def run(self, *options: str) -> int:
        """Run to the end or to the kill; returns the exit status."""
        places = (self.database, str(self.folder / "penstock.toml"), str(self.folder / "jobs.jsonl"))
        return subprocess.run(
            [sys.executable, str(KILLABLE), *places, *options], cwd=ROOT, timeout=DEADLINE_S, check=False
        ).returncode

    def in_flight(self) -> frozenset[str]:
        async def look() -> frozenset[str]:
            database = open_database(self.database)
            try:
                return await open_attempts(database)
            finally:
                await database.close()

        return asyncio.run(look())

    def books(self) -> Books:
        async def look() -> Books:
            database = open_database(self.database)
            try:
                return await read_books(database, 1)
            finally:
                await database.close()

        return asyncio.run(look())

    def judged(self) -> Judgement:
        """The books after the end; every promise that holds for any batch is checked here."""
        books = self.books()
        judgement = judge(books, self.sim.ledger(), self.expected)
        assert judgement.broken == []
        assert sums_over_batches([books]) == []
        return judgement


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulator(tmp_path_factory.mktemp("sim"), SIM) as running:
        yield running


@pytest.fixture
def victim(tmp_path: Path, sqlite_url: str, sim: Simulator) -> Victim:
    sim.reset()
    victim = Victim(tmp_path, sqlite_url, sim)
    victim.prepare()
    return victim


@pytest.mark.parametrize("nth", [5, JOBS - 1])
@pytest.mark.parametrize("step", Step)
def test_a_kill_at_any_step_loses_nothing_and_pays_at_most_for_what_was_in_flight(
    victim: Victim, step: Step, nth: int
) -> None:
    assert victim.run("--at", step, "--nth", str(nth)) == -signal.SIGKILL
    in_flight = victim.in_flight()
    assert victim.run() == 0
    judgement = victim.judged()
    assert judgement.succeeded == JOBS
    assert judgement.extra <= judgement.unknown <= len(in_flight)


@pytest.mark.parametrize("step", BEFORE_THE_CALL)
def test_a_kill_before_the_first_call_costs_nothing(victim: Victim, step: Step) -> None:
    assert victim.run("--at", step) == -signal.SIGKILL
    assert victim.run() == 0
    judgement = victim.judged()
    assert (judgement.succeeded, judgement.paid, judgement.extra) == (JOBS, JOBS, 0)


@pytest.mark.parametrize("step", [Step.CLAIMED, Step.ANSWERED, Step.COMMITTED])
def test_a_kill_on_postgresql_keeps_the_same_promises(
    tmp_path: Path, postgres_url: str, sim: Simulator, step: Step
) -> None:
    sim.reset()
    victim = Victim(tmp_path, postgres_url, sim)
    victim.prepare()
    assert victim.run("--at", step, "--nth", "5") == -signal.SIGKILL
    in_flight = victim.in_flight()
    assert victim.run() == 0
    judgement = victim.judged()
    assert judgement.succeeded == JOBS
    assert judgement.extra <= judgement.unknown <= len(in_flight)


def test_a_job_that_kills_its_process_ends_as_a_crash_and_ran_alone_from_its_third_time_on(victim: Victim) -> None:
    witness = victim.folder / "witness"
    poison = ("--at", Step.CALLED, "--job", "row-10", "--witness", str(witness))
    for _ in range(5):
        assert victim.run(*poison) == -signal.SIGKILL
    assert victim.run(*poison) == 0
    beside = [int(line) for line in witness.read_text().split()]
    assert beside[0] > 0, "the first time it had company, or this test shows nothing"
    assert beside[2:] == [0, 0, 0]
    judgement = victim.judged()
    results = {row["custom_id"]: row for row in victim.books().results}
    assert (results["row-10"]["state"], results["row-10"]["error_code"]) == ("failed", "worker_crash")
    assert judgement.succeeded == JOBS - 1
    losses = [row["position"] for row in victim.books().attempts if row["error_class"] == "lost"]
    assert losses.count(10) == 5
    assert all(losses.count(other) <= 2 for other in losses if other != 10), "a neighbour went down with it too often"


def test_answers_that_only_the_spool_holds_are_committed_by_the_next_process_and_not_called_again(
    victim: Victim,
) -> None:
    """The database takes no writes when the answers come, and the process dies once they are in its spool."""
    assert victim.run("--at", Step.CALLED, "--nth", str(SLOTS), "--spool") == -signal.SIGKILL
    spools = [*victim.folder.glob("*.spool/*.spool")]
    assert sum(path.read_bytes().count(b"\n") for path in spools) == SLOTS
    assert len(victim.in_flight()) == SLOTS
    assert victim.run() == 0
    judgement = victim.judged()
    assert (judgement.succeeded, judgement.paid, judgement.extra, judgement.unknown) == (JOBS, JOBS, 0, 0)
    assert [*victim.folder.glob("*.spool/*.spool")] == []
