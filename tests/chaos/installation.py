"""A whole fleet in a folder: a configuration, a simulated provider, and the processes that a test starts and kills.

with private_servers() as servers, simulator(folder, SIM) as sim:
    with Installation(folder, servers, sim, [Pool(name="pool")]) as fleet:
        fleet.serve()
        fleet.worker("pool")
        batch = fleet.submit(300)
        await fleet.finished(batch, within_s=60)
        books = await fleet.books(batch)
"""

import asyncio
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from sqlalchemy import Connection, func, select

from broker.domain.batch import TERMINAL, Batch
from broker.errors import StoreUnavailable
from broker.store import batches, scales
from broker.store.engine import Database, open_database
from broker.store.tables import attempts
from broker.testing.judge import Books, open_attempts, read_books
from broker.testing.simulator import Simulator
from tests.chaos.running import Running
from tests.chaos.servers import Servers
from workers.provider_sim.answers import expected_text

T = TypeVar("T")
Condition = Callable[[Batch], bool]

MODEL = "sim-small"
PENSTOCK = (sys.executable, "-P", "-m", "broker.cli")
_LOOK_S = 0.05
_SETTLED_S = 0.1
_SUBMIT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """An account of the fleet, whose key at the simulator is its name."""

    name: str
    worker_concurrency: int = 8
    workers: int = 1
    provider: str = "openai-compatible"
    more: str = ""
    """Further lines of its table."""

    def table(self, base_url: str, folder: Path) -> str:
        """Write its key, and give its part of the configuration."""
        key = folder / f"{self.name}.key"
        key.write_text(self.name)
        if self.provider in ("anthropic", "gemini"):
            base_url = base_url.removesuffix("/v1")  # as their own clients take it
        return (
            f'[[accounts]]\nname = "{self.name}"\nprovider = "{self.provider}"\nbase_url = "{base_url}"\n'
            f'api_key = "file:{key.name}"\nmodels = ["{MODEL}"]\n'
            f"workers = {self.workers}\nworker_concurrency = {self.worker_concurrency}\n"
            f'prices = {{ "{MODEL}" = {{ input = 0.25, output = 2.0 }} }}\n{self.more}\n\n'
        )


class Installation:
    """A fleet. Processes are started by the name of their command; at the end of the block all of them are killed.

    `machine` names a machine of the fleet: each has a spool of its own, and sees no death but its own.
    """

    def __init__(
        self,
        folder: Path,
        servers: Servers,
        sim: Simulator,
        pools: Sequence[Pool],
        *,
        program: Sequence[str] = PENSTOCK,
        more: str = "",
    ) -> None:
        """`program` is what is started instead of `penstock`; `more` are further lines of its configuration."""
        self.folder = folder
        self.servers = servers
        self.sim = sim
        self.name = servers.new_name()
        self.database_url = servers.database(self.name)
        self.expected: dict[str, str] = {}
        """The text of the one right answer to each job that was submitted, by custom id."""
        self.processes: list[Running] = []
        """All that were ever started."""
        self._program = tuple(program)
        self._accounts = "".join(pool.table(sim.base_url, folder) for pool in pools)
        self._more = more
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            process.kill_family()

    def config(self, machine: str = "one") -> Path:
        """Give the configuration of one machine, written when it is first asked for."""
        path = self.folder / f"{machine}.toml"
        if not path.exists():
            path.write_text(
                f'{self._accounts}[broker]\ndatabase = "{self.database_url}"\nrabbitmq = "env:CHAOS_RABBITMQ"\n'
                f'redis = "{self.servers.redis.url}"\nprefix = "{self.name}."\nspool = "{self.spool(machine)}"\n'
                f"{self._more}\n"
            )
        return path

    def spool(self, machine: str = "one") -> Path:
        """Where the workers of a machine keep answers that the database does not take."""
        return self.folder / f"{machine}.spool"

    def start(self, *arguments: str, name: str | None = None, program: Sequence[str] | None = None) -> Running:
        """Start `penstock` with these arguments."""
        numbered = f"{name or arguments[0]}-{next(self._numbers)}"
        command = (*(program or self._program), *arguments)
        process = Running(numbered, command, self.folder, self._environment)
        self.processes.append(process)
        return process

    def serve(self, count: int = 1, *options: str, program: Sequence[str] | None = None) -> list[Running]:
        """Start processes that feed and reap."""
        return [self.start("serve", "--config", str(self.config()), *options, program=program) for _ in range(count)]

    def worker(self, account: str, *, machine: str = "one", program: Sequence[str] | None = None) -> Running:
        """Start one worker process of an account."""
        config = str(self.config(machine))
        return self.start("worker", "--account", account, "--config", config, name=account, program=program)

    def fleet(self, *options: str, machine: str = "one") -> Running:
        """Start a supervisor, which starts the workers of every account."""
        return self.start("fleet", "--config", str(self.config(machine)), *options)

    def submit(self, rows: int, *options: str) -> int:
        """Submit a new batch of so many jobs; returns its number once it is accepted."""
        name = f"jobs-{next(self._numbers)}"
        path = self.folder / f"{name}.jsonl"
        with path.open("w") as file:
            for row in range(rows):
                text = f"question {row} of {name}"
                self.expected[f"{name}-{row}"] = expected_text(text)
                body = {"model": MODEL, "messages": [{"role": "user", "content": text}]}
                line = {"custom_id": f"{name}-{row}", "method": "POST", "url": "/v1/chat/completions", "body": body}
                file.write(json.dumps(line) + "\n")
        return self.submit_file(path, *options)

    def submit_file(self, path: Path, *options: str) -> int:
        """Submit a batch file; returns the number of its batch once it is accepted."""
        done = subprocess.run(
            [*PENSTOCK, "submit", str(path), "--config", str(self.config()), "--json", *options],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_SUBMIT_S,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"penstock submit ended with {done.returncode}: {done.stderr[-2000:]}")
        return int(json.loads(done.stdout.splitlines()[-1])["batch"])

    def opened(self) -> Database:
        """Open its database for a test's own look; the caller closes it."""
        return open_database(self.database_url)

    async def finished(self, batch_id: int, within_s: float) -> Batch:
        """Wait until a batch has come to its end, through outages of the database; raises `TimeoutError`."""
        return await self.until(batch_id, lambda batch: batch.state in TERMINAL, within_s)

    async def done(self, batch_id: int, jobs: int, within_s: float) -> Batch:
        """Wait until so many jobs of a batch have their result; raises `TimeoutError`."""
        return await self.until(
            batch_id, lambda batch: batch.counts.finished >= jobs or batch.state in TERMINAL, within_s
        )

    async def until(self, batch_id: int, holds: Condition, within_s: float) -> Batch:
        """Wait until something can be said of a batch, through outages of the database; raises `TimeoutError`."""
        database = self.opened()
        try:
            async with asyncio.timeout(within_s):
                while True:
                    with suppress(StoreUnavailable):
                        batch = await database.read(batches.get, batch_id)
                        if holds(batch):
                            return batch
                    await asyncio.sleep(_LOOK_S)
        finally:
            await database.close()

    async def present(self, workers: int, within_s: float = 60.0) -> None:
        """Wait until so many workers show life; raises `TimeoutError`."""
        database = self.opened()
        try:
            async with asyncio.timeout(within_s):
                while len(await database.read(scales.present)) < workers:  # noqa: ASYNC110 - they tell the database only
                    await asyncio.sleep(_LOOK_S)
        finally:
            await database.close()

    def spooled(self) -> frozenset[str]:
        """Give the ids of the calls whose answers wait in spools, as far as they are written."""
        lines = (line for spool in self.folder.glob("*.spool/*.spool") for line in spool.read_bytes().splitlines(True))
        return frozenset(json.loads(line)["attempt_id"] for line in lines if line.endswith(b"\n"))

    async def read(self, operation: Callable[[Connection], T]) -> T:
        """Read something from its database."""
        database = self.opened()
        try:
            return await database.read(operation)
        finally:
            await database.close()

    async def books(self, batch_id: int) -> Books:
        """Read all that is known of one batch."""
        database = self.opened()
        try:
            return await read_books(database, batch_id)
        finally:
            await database.close()

    async def open_attempts(self) -> frozenset[str]:
        """Give the ids of the calls that the ledger holds to be in flight."""
        database = self.opened()
        try:
            return await open_attempts(database)
        finally:
            await database.close()

    async def open_calls_of(self, worker: Running) -> int:
        """Count the calls that the ledger holds to be in flight in a worker, which stands still."""
        lifeline = worker.holds(".alive")
        if lifeline is None:
            return 0  # it had not begun
        mine = (attempts.c.finished_at.is_(None), attempts.c.worker_id.startswith(lifeline.stem, autoescape=True))
        query = select(func.count()).where(*mine)
        before, now = -1, 0
        while before != now:  # what it had sent to the database is committed soon
            before = now
            await asyncio.sleep(_SETTLED_S)
            now = await self.read(lambda connection: int(connection.execute(query).scalar_one()))
        return now

    @property
    def _environment(self) -> dict[str, str]:
        own = {"CHAOS_RABBITMQ": self.servers.rabbit.url, "HOME": str(self.folder), "NO_COLOR": "1"}
        return os.environ | own  # noqa: TID251 - handed on to the processes
