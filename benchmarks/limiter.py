"""What the shared limiter costs per job: `python benchmarks/limiter.py [redis://HOST:PORT/DB]`.

Each job is reserved and settled once. Client: CPU time of this process. Redis: time inside the script, and CPU time of
the server, which adds its reading and writing. Medians of 5 runs.
"""

import asyncio
import statistics
import sys
import time
import uuid
from typing import Any

from redis.asyncio import Redis

from broker.domain.account import Limits
from broker.domain.clock import SystemClock
from broker.limits.port import Ask, Charge, Settled, Settlement
from broker.limits.redis import RedisLimiter

JOBS = 6_400
RUNS = 5
LIMITS = Limits(requests_per_minute=6e9, tokens_per_minute=6e12, concurrency=1_000)
NEED = Charge(input_tokens=500, output_tokens=200)
ACTUAL = Charge(input_tokens=490, output_tokens=230)


async def figures(redis: Redis) -> tuple[float, float, float]:
    """Calls of the script, microseconds inside it, and microseconds of CPU of the server."""
    stats: dict[str, Any] = await redis.info("commandstats")
    cpu: dict[str, Any] = await redis.info("cpu")
    calls = [stats[name] for name in ("cmdstat_evalsha", "cmdstat_eval") if name in stats]
    total = 1e6 * (cpu["used_cpu_user_main_thread"] + cpu["used_cpu_sys_main_thread"])
    return sum(one["calls"] for one in calls), sum(one["usec"] for one in calls), total


async def run(url: str, at_once: int) -> tuple[float, float, float, float, float]:
    """Wall, client, script and server microseconds, and calls, all per job."""
    limiter = RedisLimiter(url, member="benchmark", clock=SystemClock(), prefix=f"benchmark:{uuid.uuid4().hex}")
    limiter.declare("group", LIMITS)
    await limiter.flush()
    redis = Redis.from_url(url)
    before, cpu, wall = await figures(redis), time.process_time(), time.perf_counter()
    done = 0
    while done < JOBS:
        asks = [Ask(reservation_id=f"att_benchmark_{done + index}", need=NEED) for index in range(at_once)]
        granted = await limiter.reserve("group", asks, horizon_s=0.5)
        ends = [
            Settlement(reservation_id=grant.reservation_id, how=Settled.USED, actual=ACTUAL) for grant in granted.grants
        ]
        await limiter.settle("group", ends)
        done += len(granted.grants)
    await limiter.flush()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    after = await figures(redis)
    await redis.aclose()
    await limiter.close()
    calls, script, server = (now - then for now, then in zip(after, before, strict=True))
    return 1e6 * wall / done, 1e6 * cpu / done, script / done, server / done, calls / done


def main() -> None:
    url = sys.argv[1] if len(sys.argv) > 1 else "redis://127.0.0.1:6379/0"
    print("jobs per call  wall us  client us  script us  server us  calls per job")
    for at_once in (1, 8, 32):
        runs = [asyncio.run(run(url, at_once)) for _ in range(RUNS)]
        wall, client, script, server, calls = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{at_once:13d}  {wall:7.1f}  {client:9.1f}  {script:9.1f}  {server:9.1f}  {calls:13.3f}")


if __name__ == "__main__":
    main()
