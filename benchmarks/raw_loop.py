"""The raw loop, the denominator of our figures: read line, POST, insert into SQLite. No features at all.

    python benchmarks/raw_loop.py JOBS.jsonl --url http://127.0.0.1:8000/v1 --database /tmp/raw.db

No retries, no limits, no look at an answer but for its status. The database must not exist yet. The last line of
standard output is JSON: jobs, failed, seconds, jobs_per_s, cpu_us_per_job (this process with all its threads,
without its start). Exit status 1 when any job failed.
"""

import argparse
import asyncio
import json
import resource
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
import orjson
import uvloop

ROWS_PER_INSERT = 100
BATCHES_AHEAD = 8
"""How far the calls may run ahead of the database."""

Row = tuple[str, int, bytes]
"""Custom id, status, body."""


class Answers:
    """One table on SQLite, with write-ahead log and full durability, used from a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("CREATE TABLE answers (custom_id TEXT PRIMARY KEY, status INTEGER, body BLOB)")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")

    async def insert_from(self, queue: asyncio.Queue[list[Row]]) -> None:
        """Insert batch after batch, up to an empty one."""
        loop = asyncio.get_running_loop()
        while rows := await queue.get():
            await loop.run_in_executor(self._thread, self._insert, rows)

    def close(self) -> None:
        self._thread.shutdown()
        self._connection.close()

    def _insert(self, rows: list[Row]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("INSERT INTO answers VALUES (?, ?, ?)", rows)
        self._connection.execute("COMMIT")


class Calls:
    """What the calls in flight share: where they go, what is done, and the batch that is being filled."""

    def __init__(self, session: aiohttp.ClientSession, server: str, queue: asyncio.Queue[list[Row]]) -> None:
        self._session = session
        self._server = server
        self._queue = queue
        self._rows: list[Row] = []
        self.done = 0
        self.failed = 0

    async def make(self, lines: Iterator[bytes]) -> None:
        """One call after another, until the lines, which all callers share, are used up."""
        for line in lines:
            job = orjson.loads(line)
            async with self._session.post(self._server + job["url"], data=orjson.dumps(job["body"])) as response:
                body = await response.read()
            self.done += 1
            self.failed += response.status != 200
            self._rows.append((job["custom_id"], response.status, body))
            if len(self._rows) >= ROWS_PER_INSERT:
                await self.flush()

    async def flush(self) -> None:
        rows, self._rows = self._rows, []
        if rows:
            await self._queue.put(rows)


async def drain(lines: Iterable[bytes], *, server: str, key: str, in_flight: int, answers: Answers) -> Calls:
    """Run every line; returns when the last answer is durable."""
    queue: asyncio.Queue[list[Row]] = asyncio.Queue(BATCHES_AHEAD)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight), headers=headers) as session:
        calls = Calls(session, server, queue)
        async with asyncio.TaskGroup() as writing:
            writing.create_task(answers.insert_from(queue))
            async with asyncio.TaskGroup() as calling:
                shared = iter(lines)
                for _ in range(in_flight):
                    calling.create_task(calls.make(shared))
            await calls.flush()
            await queue.put([])
    return calls


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description="Drain a batch file with no features at all.")
    parser.add_argument("jobs", type=Path, metavar="JOBS.jsonl")
    parser.add_argument("--url", required=True, help="the server, with or without /v1")
    parser.add_argument("--database", type=Path, required=True, help="a file that does not exist yet")
    parser.add_argument("--key", default="raw-loop", help="sent as the bearer token")
    parser.add_argument("--in-flight", type=int, default=128)
    asked = parser.parse_args()
    if asked.database.exists():
        parser.error(f"{asked.database} exists")
    server = asked.url.rstrip("/").removesuffix("/v1")
    answers = Answers(asked.database)
    begun, used = time.perf_counter(), cpu_seconds()
    try:
        with asked.jobs.open("rb") as lines:
            work = drain(lines, server=server, key=asked.key, in_flight=asked.in_flight, answers=answers)
            calls = uvloop.run(work)
        seconds, cpu = time.perf_counter() - begun, cpu_seconds() - used
    finally:
        answers.close()
    figures = {
        "jobs": calls.done,
        "failed": calls.failed,
        "seconds": round(seconds, 3),
        "jobs_per_s": round(calls.done / seconds, 1),
        "cpu_us_per_job": round(cpu * 1e6 / max(1, calls.done), 1),
    }
    print(json.dumps(figures))
    return 1 if calls.failed else 0


if __name__ == "__main__":
    sys.exit(main())
