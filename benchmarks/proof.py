"""What the proofs share: jobs whose answers are known, the command under test, and the verdict on its books."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from make_jobs import rows

from broker.errors import StoreUnavailable
from broker.store.engine import Database, open_database
from broker.testing.judge import Judgement, Row, judge, open_attempts, read_books, sums_over_batches
from workers.provider_sim.answers import expected_text

MODEL = "sim-small"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One batch, its configuration, and where everything lies."""

    folder: Path
    database: str
    order: str
    expected: Mapping[str, str]
    """The text of the right answer, by custom id, in input order."""

    @property
    def output(self) -> Path:
        return self.folder / "output.jsonl"

    def start(self) -> "subprocess.Popen[bytes]":
        """Run the command a user would, again and again the same one."""
        command = [
            *(str(Path(sys.executable).with_name("penstock")), "run", str(self.folder / "jobs.jsonl"), "--json"),
            *("--config", str(self.folder / "penstock.toml"), "--output", str(self.output)),
            *("--database", self.database, "--order", self.order),
        ]
        with (self.folder / "run.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)

    def log(self) -> str:
        return (self.folder / "run.log").read_text(errors="replace")


def prepare(folder: Path, database: str, accounts: str, *, jobs: int, order: str = "completion") -> Trial:
    """Write the batch file and the configuration."""
    expected: dict[str, str] = {}
    with (folder / "jobs.jsonl").open("wb") as file:
        for line in rows(jobs, MODEL, 600):
            job = json.loads(line)
            expected[job["custom_id"]] = expected_text(job["body"]["messages"][-1]["content"])
            file.write(line)
    (folder / "penstock.toml").write_text(accounts)
    return Trial(folder=folder, database=database, order=order, expected=expected)


def account(
    name: str,
    base_url: str,
    folder: Path,
    *,
    concurrency: int,
    more: str = "",
    provider: str = "openai-compatible",
) -> str:
    """One account of the simulator, whose key is its name."""
    key = folder / f"{name}.key"
    key.write_text(name)
    return (
        f'[[accounts]]\nname = "{name}"\nprovider = "{provider}"\nbase_url = "{base_url}"\n'
        f'api_key = "file:{key}"\nmodels = ["{MODEL}"]\nworker_concurrency = {concurrency}\n'
        f'prices = {{ "{MODEL}" = {{ input = 0.25, output = 2.0 }} }}\n{more}\n'
    )


@contextmanager
def fresh(url: str) -> Iterator[str]:
    """Make the database, which must not exist yet on a PostgreSQL server, and drop it there afterwards."""
    if not url.startswith("postgresql"):
        yield url
        return
    asyncio.run(_on_server(url, "create database {}"))
    try:
        yield url
    finally:
        asyncio.run(_on_server(url, "drop database {} with (force)"))


async def _on_server(url: str, statement: str) -> None:
    parts = urlsplit(url)
    name = parts.path.lstrip("/").replace('"', '""')
    connection = await asyncpg.connect(urlunsplit(parts._replace(path="/postgres")))
    try:
        await connection.execute(statement.format(f'"{name}"'))
    finally:
        await connection.close()


def in_flight_by_our_books(url: str) -> frozenset[str]:
    """Ids of open attempts after a kill, once the server has noticed it; none where there is no schema yet."""
    return asyncio.run(_in_flight(url))


async def _in_flight(url: str) -> frozenset[str]:
    if url.startswith("postgresql"):
        await _left_alone(url)
    database = open_database(url)
    try:
        return await open_attempts(database)
    except StoreUnavailable:
        return frozenset()
    finally:
        await database.close()


async def _left_alone(url: str) -> None:
    """Wait until no connection of the dead process is left: one may still be committing."""
    connection = await asyncpg.connect(url)
    others = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    try:
        while await connection.fetchval(others):  # noqa: ASYNC110 - what we wait for is in another process
            await asyncio.sleep(0.01)
    finally:
        await connection.close()


def judged(trial: Trial, paid: Sequence[Row]) -> Judgement:
    """Compare the books of the one batch in the database with the provider's."""
    return asyncio.run(_judged(trial, paid))


async def _judged(trial: Trial, paid: Sequence[Row]) -> Judgement:
    database: Database = open_database(trial.database)
    try:
        books = await read_books(database, 1)
    finally:
        await database.close()
    judgement = judge(books, paid, trial.expected)
    broken = [*judgement.broken, *sums_over_batches([books]), *_output_broken(trial)]
    if judgement.succeeded != judgement.jobs:
        why = Counter(row["error_code"] for row in books.results)
        broken.append(f"{judgement.succeeded} of {judgement.jobs} jobs succeeded: {dict(why)}")
    return Judgement(**{name: getattr(judgement, name) for name in judgement.__slots__} | {"broken": broken})


def _output_broken(trial: Trial) -> Iterator[str]:
    lines = [json.loads(line) for line in trial.output.read_bytes().splitlines()]
    names = [line["custom_id"] for line in lines]
    if sorted(names) != sorted(trial.expected):
        yield f"the output has {len(names)} lines of {len(set(names))} jobs"
        return
    if trial.order == "input" and names != list(trial.expected):
        yield "the output is not in input order"
    wrong = [line for line in lines if _content(line) != trial.expected[line["custom_id"]]]
    if wrong:
        yield f"{len(wrong)} lines of the output are not the answer to their prompt"


def _content(line: dict[str, dict[str, dict[str, list[dict[str, dict[str, str]]]]]]) -> str | None:
    response = line["response"]
    return response["body"]["choices"][0]["message"]["content"] if response else None


def show(figures: Mapping[str, object], broken: Sequence[str]) -> int:
    """Print a table, what is broken, and everything as JSON on the last line; returns the exit status."""
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f"{name:<{width}}  {value}")
    for sentence in broken[:20]:
        print(f"BROKEN: {sentence}")
    print("every promise was kept" if not broken else f"{len(broken)} promises were broken")
    print(json.dumps({**figures, "broken": list(broken)}))
    return 1 if broken else 0
