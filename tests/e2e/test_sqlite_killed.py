"""A process that writes to SQLite and is killed: all that it was told to be committed is there."""

import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from broker.testing.builders import a_batch
from broker.testing.contracts.store import opened

ROOT = Path(__file__).parents[2]
KILLS = 20
GROUP = 16
JOBS = 8_000

_WRITER = """
import asyncio, sys
from broker.store import workers
from broker.store.claim import Claimant, claim
from broker.store.engine import open_database
from broker.store.record import record
from broker.testing.builders import ACCOUNT, PROVIDER, a_claim, a_report

async def main(url, batch_id, first, name):
    database = open_database(url)
    await database.write(workers.register, name, ACCOUNT)
    me = Claimant(worker_id=name, account=ACCOUNT, provider=PROVIDER)
    while True:
        keys = [(batch_id, first + n) for n in range(16)]
        granted = await database.write(claim, me, [a_claim(key) for key in keys])
        assert all(answer.verdict == "granted" for answer in granted)
        await database.write(record, [a_report(key) for key in keys])
        first += 16
        print(first, flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
"""


def write_until_killed(url: str, batch_id: int, first: int, name: str, acknowledgements: int) -> int:
    """Start a writer at a position, kill it after so many commits; returns the position behind the last one told."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, url, str(batch_id), str(first), name],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    for _ in range(acknowledgements):
        assert process.stdout.readline(), "the writer ended by itself"
    time.sleep(random.random() * 0.01)  # any moment of the next transactions
    process.kill()
    told = process.stdout.read().split()  # it may have gone on for a moment
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    return int(told[-1]) if told else first + GROUP * acknowledgements


def integrity(path: str) -> str:
    connection = sqlite3.connect(path)
    try:
        return str(connection.execute("pragma integrity_check").fetchone()[0])
    finally:
        connection.close()


def test_what_was_acknowledged_survives_twenty_kills(sqlite_url: str) -> None:
    draw = random.Random()
    path = sqlite_url.removeprefix("sqlite:///")
    with opened(sqlite_url) as ledger:
        batch_id = ledger.write(a_batch, JOBS, per_segment=1_000)
    acknowledged: set[int] = set()
    first = 0
    for kill in range(KILLS):
        told = write_until_killed(sqlite_url, batch_id, first, f"writer-{kill}", draw.randint(1, 12))
        acknowledged |= set(range(first, told))
        assert integrity(path) == "ok"
        with sqlite3.connect(path) as connection:
            found = {row[0] for row in connection.execute("select position from results")}
        connection.close()
        assert acknowledged <= found, f"kill {kill} lost {sorted(acknowledged - found)[:5]}"
        unsaid = found - acknowledged
        assert unsaid in (set(), set(range(told, told + GROUP))), "half of a transaction"
        acknowledged |= found
        first = told + GROUP  # the next ones may have been claimed
    with opened(sqlite_url, "auditor") as ledger:
        ledger.audit()
        assert [result.seq for result in ledger.results(batch_id)] == list(range(1, len(acknowledged) + 1))
