"""What the benchmarks of the fleet share: a fleet on the servers of this machine, and what everything costs.

The servers are found as the tests find them: PENSTOCK_TEST_POSTGRES_URL and so on, else on the standard ports.
Database, queues and keys are this run's own, and removed afterwards.
"""

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from broker.testing.simulator import Simulator
from tests.chaos.installation import Installation, Pool
from tests.servers import postgres, rabbitmq, redis_server
from tests.servers.finding import obtain
from tests.shared_fleet import fleet_on

_TICKS = os.sysconf("SC_CLK_TCK")
_PORTS = {"amqp": 5672, "redis": 6379, "postgresql": 5432}
_stack = ExitStack()  # what had to be started ends with this process


@cache
def servers() -> dict[str, str]:
    """Find PostgreSQL, RabbitMQ and Redis."""
    return {
        "postgres": obtain("PostgreSQL", postgres.ways(), _stack),
        "rabbitmq": obtain("RabbitMQ", rabbitmq.ways(), _stack),
        "redis_url": obtain("Redis", redis_server.ways(), _stack),
    }


@contextmanager
def a_fleet(
    folder: Path, sim: Simulator, pools: Sequence[Pool], *, redis_url: str | None = None
) -> Iterator[Installation]:
    """Give a fleet without processes; `redis_url` is a Redis of its own."""
    with fleet_on(folder, sim, pools, **servers() | ({"redis_url": redis_url} if redis_url else {})) as fleet:
        yield fleet


def drained(fleet: Installation, batch_id: int, within_s: float) -> None:
    """Wait for the end of a batch."""
    asyncio.run(fleet.finished(batch_id, within_s))


def makespan_s(fleet: Installation, batch_id: int) -> float:
    """From the acceptance of a batch to its last result, on the database's clock."""
    (found,) = rows(
        fleet,
        "select max(r.finished_at) - min(b.accepted_at) as seconds from results r join batches b using (batch_id)"
        " where batch_id = $1",
        batch_id,
    )
    return float(found["seconds"])


def rows(fleet: Installation, query: str, *arguments: object) -> Sequence[asyncpg.Record]:
    """Ask the fleet's database."""

    async def ask() -> Sequence[asyncpg.Record]:
        connection = await asyncpg.connect(fleet.database_url)
        try:
            found: Sequence[asyncpg.Record] = await connection.fetch(query, *arguments)
        finally:
            await connection.close()
        return found

    return asyncio.run(ask())


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, with that of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS


def server_cpu(url: str) -> float:
    """CPU time of the server on this machine that listens there, with all its children; 0 when it is elsewhere."""
    parts = urlsplit(url)
    pid = _listener(parts.port or _PORTS[parts.scheme])
    return 0.0 if pid is None else cpu_seconds(pid) + sum(map(cpu_seconds, _children(pid)))


def _children(pid: int) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            yield int(path.parent.name)


@cache
def _listener(port: int) -> int | None:
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    # Fields: local address, state (0A listens), inode
    wanted = {f"socket:[{line[9]}]" for line in lines if line[3] == "0A" and line[1].endswith(f":{port:04X}")}
    holders = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()) in wanted:
                holders.append(int(link.parts[2]))
        except OSError:
            continue
    return min(holders, default=None)
