"""The raw loop of a fleet: consume one job per message, POST, insert into PostgreSQL, ack. No features at all.

    python benchmarks/raw_fleet.py JOBS.jsonl --url http://127.0.0.1:8000/v1 --rabbitmq amqp://… --database postgresql://…

The quorum queue is filled before the clock
starts and deleted afterwards; the table is made new. A message is acked, singly, when its batch of a hundred answers is
committed. The last line of standard output is JSON: jobs, failed, seconds, jobs_per_s, cpu_us_per_job.
"""

import argparse
import asyncio
import json
import sys
import time
import uuid
from pathlib import Path

import aio_pika
import aiohttp
import asyncpg
import orjson
import uvloop
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue
from raw_loop import ROWS_PER_INSERT, cpu_seconds

_CONFIRMS = 500
_BATCHES_AHEAD = 8
Row = tuple[AbstractIncomingMessage, str, int, bytes]


class RawLoop:
    """What the callbacks share."""

    def __init__(self, session: aiohttp.ClientSession, server: str, database: asyncpg.Connection, jobs: int) -> None:
        self._session = session
        self._server = server
        self._database = database
        self._jobs = jobs
        self._rows: list[Row] = []
        self._batches: asyncio.Queue[list[Row]] = asyncio.Queue(_BATCHES_AHEAD)
        self._called = 0
        self.done = 0
        self.failed = 0

    async def take(self, message: AbstractIncomingMessage) -> None:
        """Do one job."""
        job = orjson.loads(message.body)
        async with self._session.post(self._server + job["url"], data=orjson.dumps(job["body"])) as response:
            body = await response.read()
        self._called += 1
        self.failed += response.status != 200
        self._rows.append((message, job["custom_id"], response.status, body))
        if len(self._rows) >= ROWS_PER_INSERT or self._called == self._jobs:
            full, self._rows = self._rows, []
            await self._batches.put(full)

    async def insert(self) -> None:
        """Insert batch after batch and ack each message, until all jobs are done."""
        while self.done < self._jobs:
            batch = await self._batches.get()
            names, states, bodies = zip(*(row[1:] for row in batch), strict=True)
            await self._database.execute(
                "insert into answers select * from unnest($1::text[], $2::integer[], $3::bytea[])",
                names,
                states,
                bodies,
            )
            for row in batch:
                await row[0].ack()
            self.done += len(batch)


async def _filled(channel: aio_pika.abc.AbstractChannel, queue: AbstractQueue, lines: list[bytes]) -> None:
    for at in range(0, len(lines), _CONFIRMS):
        async with asyncio.TaskGroup() as tasks:
            for line in lines[at : at + _CONFIRMS]:
                message = aio_pika.Message(line, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                tasks.create_task(channel.default_exchange.publish(message, queue.name))


async def drain(
    lines: list[bytes], *, server: str, key: str, in_flight: int, rabbitmq: str, database: str
) -> dict[str, float]:
    """Run every line; returns when the last answer is durable and its ack is sent."""
    answers = await asyncpg.connect(database)
    await answers.execute("drop table if exists answers")
    await answers.execute("create table answers (custom_id text primary key, status integer, body bytea)")
    publishing = await aio_pika.connect(rabbitmq)
    consuming = await aio_pika.connect(rabbitmq)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    async with (
        publishing,
        consuming,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight), headers=headers) as session,
    ):
        filling = await publishing.channel()
        name = f"raw.{uuid.uuid4().hex}"
        made = await filling.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
        try:
            await _filled(filling, made, lines)
            channel = await consuming.channel()
            # What waits for its insert is not in flight any more, and not acked yet
            await channel.set_qos(prefetch_count=in_flight + (_BATCHES_AHEAD + 2) * ROWS_PER_INSERT)
            queue = await channel.get_queue(name)
            loop = RawLoop(session, server, answers, len(lines))
            begun, used = time.perf_counter(), cpu_seconds()
            await queue.consume(loop.take)
            await loop.insert()
            seconds, cpu = time.perf_counter() - begun, cpu_seconds() - used
        finally:
            await filling.queue_delete(name)
    await answers.close()
    return {
        "jobs": loop.done,
        "failed": loop.failed,
        "seconds": round(seconds, 3),
        "jobs_per_s": round(loop.done / seconds, 1),
        "cpu_us_per_job": round(cpu * 1e6 / max(1, loop.done), 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Drain a batch file over RabbitMQ with no features at all.")
    parser.add_argument("jobs", type=Path, metavar="JOBS.jsonl")
    parser.add_argument("--url", required=True, help="the server, with or without /v1")
    parser.add_argument("--rabbitmq", required=True)
    parser.add_argument("--database", required=True, help="a PostgreSQL database, in which a table `answers` is made")
    parser.add_argument("--key", default="raw-loop", help="sent as the bearer token")
    parser.add_argument("--in-flight", type=int, default=128)
    asked = parser.parse_args()
    server = asked.url.rstrip("/").removesuffix("/v1")
    lines = asked.jobs.read_bytes().splitlines()
    figures = uvloop.run(
        drain(
            lines,
            server=server,
            key=asked.key,
            in_flight=asked.in_flight,
            rabbitmq=asked.rabbitmq,
            database=asked.database,
        )
    )
    print(json.dumps(figures))
    return 1 if figures["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
