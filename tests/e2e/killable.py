"""Drains a batch file like `penstock run`, but kills its own process at a chosen event.

    python tests/e2e/killable.py DATABASE CONFIG JOBS --at called --nth 3 [--job row-7] [--witness FILE]
    python tests/e2e/killable.py DATABASE CONFIG JOBS --at called --nth 6 --spool

The witness gets a line at each event of `--job`: how many calls were out at that moment, its own not counted.
With `--spool` the event locks the (SQLite) database against every writer, and the process dies as soon as its
spool holds as many answers as there were events.
"""

import argparse
import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

from broker.domain.batch import TERMINAL
from broker.intake.accept import accept
from broker.intake.source import digest, opened_source
from broker.settings import load
from broker.store import batches, lock, migrate
from broker.store.engine import Database, open_database
from broker.store.manifest import NewBatch
from broker.wiring.embedded import Engine
from broker.wiring.spools import spool_directory
from broker.wiring.supply import all_routes
from workers.work import Step, Work


class Executioner:
    """Counts events, and ends the process at the right one."""

    def __init__(
        self, step: Step | None, nth: int, job: str | None, witness: Path | None, end: Callable[[], None]
    ) -> None:
        self._step = step
        self._end = end
        self._left = nth
        self._job = job
        self._witness = witness
        self._out: set[str] = set()

    def watch(self, step: Step, work: Work) -> None:
        name = work.job.custom_id
        if step is Step.ANSWERED:
            self._out.discard(name)
        if step is self._step and self._job in (None, name):
            self._left -= 1
            if self._witness is not None:
                with self._witness.open("a") as file:
                    file.write(f"{len(self._out)}\n")
            if self._left == 0:
                self._end()
        if step is Step.CALLED:
            self._out.add(name)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Outage:
    """A database that takes no more writes, and a death when the answers are safe elsewhere."""

    def __init__(self, database: Database, answers: int) -> None:
        self._database = database
        self._answers = answers
        self._intruder = sqlite3.connect(str(database.url.database), isolation_level=None)

    def begin(self) -> None:
        self._intruder.execute("BEGIN IMMEDIATE")

    async def impatient(self) -> None:
        """Half a minute is what a real process waits for a lock; here the spool is to be reached at once."""
        await self._database.write(lambda connection: connection.exec_driver_sql("PRAGMA busy_timeout = 100"))

    async def dies(self) -> None:
        """Look into the spool until the answers are there."""
        while self._kept() < self._answers:  # noqa: ASYNC110 - the spool tells nobody when it is written
            await asyncio.sleep(0.01)
        die()

    def _kept(self) -> int:
        return sum(path.read_bytes().count(b"\n") for path in spool_directory(self._database).glob("*.spool"))


async def drain(asked: argparse.Namespace) -> None:
    settings = load(asked.config)
    database = open_database(asked.database)
    outage = Outage(database, asked.nth) if asked.spool else None
    end = die if outage is None else outage.begin
    executioner = Executioner(asked.at, asked.nth, asked.job, asked.witness, end)
    async with lock.held(database):
        await database.write(migrate.upgrade)
        with opened_source(str(asked.jobs), directory=asked.jobs.parent, standard_input=sys.stdin.buffer) as source:
            new = NewBatch(
                project="default",
                submission_id="killable",
                body_hash=await asyncio.to_thread(digest, source),
                dialect="openai",
                source=source.name,
            )
            accepted = await accept(
                database, source, new, routes=all_routes(settings.accounts), scratch=asked.jobs.parent
            )
        engine = Engine(database, settings.accounts, policy=settings.retry_policy, watch=executioner.watch)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(engine.run())
            if outage is not None:
                await outage.impatient()
                tasks.create_task(outage.dies())
            while (await database.read(batches.get, accepted.batch_id)).state not in TERMINAL and not running.done():
                await engine.changed(1.0)
            engine.stop()
    await database.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("database")
    parser.add_argument("config", type=Path)
    parser.add_argument("jobs", type=Path)
    parser.add_argument("--at", type=Step, choices=list(Step))
    parser.add_argument("--nth", type=int, default=1)
    parser.add_argument("--job")
    parser.add_argument("--witness", type=Path)
    parser.add_argument("--spool", action="store_true")
    asyncio.run(drain(parser.parse_args()))


if __name__ == "__main__":
    main()
