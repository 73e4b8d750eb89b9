"""What a job costs at the ledger: claims of k jobs and records of n reports, on SQLite and PostgreSQL.

    python benchmarks/ledger.py [--jobs 10000] [--postgres postgresql://postgres@127.0.0.1:5432] [--only sqlite]

One worker, one batch, bodies of 1 KB, both databases with full durability. Prints jobs per second and the CPU
microseconds of this process per job (medians of three rounds). On PostgreSQL the server's share comes on top: the
wall time shows it. A database `penstock_bench_…` is created on the server, and dropped.
"""

import argparse
import resource
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import uvloop

from broker.domain.job import JobKey
from broker.domain.report import Report
from broker.store import migrate, workers
from broker.store.claim import Claimant, claim
from broker.store.engine import Database, open_database
from broker.store.record import record
from broker.testing.builders import ACCOUNT, PROVIDER, a_batch, a_claim, a_report, an_answer

ME = Claimant(worker_id="bench", account=ACCOUNT, provider=PROVIDER)
BODY = b'{"answer":"' + b"x" * 1_000 + b'"}'
ROUNDS = 3
CLAIMS = (1, 8, 32)
RECORDS = (64, 256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one job."""

    wall_us: float
    cpu_us: float


async def measured(jobs: int, work: Callable[[], Awaitable[None]]) -> Cost:
    begun, used = time.perf_counter(), _cpu_s()
    await work()
    return Cost(wall_us=(time.perf_counter() - begun) * 1e6 / jobs, cpu_us=(_cpu_s() - used) * 1e6 / jobs)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _groups(keys: Sequence[JobKey], size: int) -> Iterator[Sequence[JobKey]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


async def claiming(database: Database, keys: Sequence[JobKey], k: int) -> Cost:
    groups = [[a_claim(key) for key in group] for group in _groups(keys, k)]

    async def work() -> None:
        for claims in groups:
            await database.write(claim, ME, claims)

    return await measured(len(keys), work)


async def recording(database: Database, keys: Sequence[JobKey], n: int) -> Cost:
    groups: list[list[Report]] = [
        [a_report(key, then=an_answer(key, BODY)) for key in group] for group in _groups(keys, n)
    ]

    async def work() -> None:
        for reports in groups:
            await database.write(record, reports)

    return await measured(len(keys), work)


async def costs(database: Database, jobs: int) -> dict[str, list[Cost]]:
    """Every size, in rounds; each with a batch of its own."""
    await database.write(migrate.upgrade)
    await database.write(workers.register, ME.worker_id, ACCOUNT)
    found: dict[str, list[Cost]] = {}
    for _ in range(ROUNDS):
        for k, n in [(k, RECORDS[index % len(RECORDS)]) for index, k in enumerate((*CLAIMS, CLAIMS[-1]))]:
            count = jobs // 4 if k == 1 else jobs
            batch_id = await database.write(a_batch, count, per_segment=1_000)
            await database.write(workers.beat, ME.worker_id, workers.Signs())
            keys = [JobKey(batch_id, position) for position in range(count)]
            found.setdefault(f"claim k={k}", []).append(await claiming(database, keys, k))
            found.setdefault(f"record n={n}", []).append(await recording(database, keys, n))
    return found


def table(name: str, found: dict[str, list[Cost]]) -> None:
    print(f"\n{name:<12} {'jobs/s':>10} {'wall µs/job':>12} {'CPU µs/job':>12}")
    for what in sorted(found, key=lambda what: (what.split()[0], int(what.rpartition("=")[2]))):
        wall = statistics.median(cost.wall_us for cost in found[what])
        cpu = statistics.median(cost.cpu_us for cost in found[what])
        print(f"{what:<12} {1e6 / wall:>10,.0f} {wall:>12.1f} {cpu:>12.1f}")


@asynccontextmanager
async def sqlite_database() -> AsyncIterator[Database]:
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(f"sqlite:///{Path(folder) / 'bench.db'}")
        yield database
        await database.close()


@asynccontextmanager
async def postgres_database(server: str) -> AsyncIterator[Database]:
    name = f"penstock_bench_{uuid.uuid4().hex[:12]}"
    connection = await asyncpg.connect(server)
    await connection.execute(f"create database {name}")
    try:
        database = open_database(f"{server.rstrip('/')}/{name}")
        yield database
        await database.close()
    finally:
        await connection.execute(f"drop database {name} with (force)")
        await connection.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the ledger's cost of a job.")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--postgres", default="postgresql://postgres@127.0.0.1:5432")
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    asked = parser.parse_args()
    if asked.only != "postgresql":
        async with sqlite_database() as database:
            table("SQLite", await costs(database, asked.jobs))
    if asked.only != "sqlite":
        async with postgres_database(asked.postgres) as database:
            table("PostgreSQL", await costs(database, asked.jobs))


if __name__ == "__main__":
    uvloop.run(main())
