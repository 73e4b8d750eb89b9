"""Eight processes that share one group stay within its limit, and use it."""

import json
import subprocess
import sys
import uuid

RATE_PER_S = 200.0
RHO = 0.99
FOR_S = 5.0
PROCESSES = 8
SECONDS = 60
OFFSETS_S = 0.005
"""What the processes' views of the server's clock may differ by, as a margin on both ends of a window."""

WORKER = """
import asyncio, json, sys
from broker.domain.account import Limits
from broker.domain.clock import SystemClock
from broker.limits.port import Ask, Charge, Settled, Settlement
from broker.limits.redis import RedisLimiter

url, prefix, member, per_s, rho, for_s = *sys.argv[1:4], *map(float, sys.argv[4:7])

async def main():
    clock = SystemClock()
    limiter = RedisLimiter(url, member=member, clock=clock, prefix=prefix)
    limiter.declare("group", Limits(requests_per_minute=per_s * 60), rho=rho)
    await limiter.state("group")
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    starts, degraded, count = [], 0, 0
    until = clock.monotonic() + for_s
    async with asyncio.TaskGroup() as tasks:
        beside = tasks.create_task(limiter.run())
        while clock.monotonic() < until:
            asks = [Ask(reservation_id=f"{member}-{count + i}", need=Charge()) for i in range(16)]
            granted = await limiter.reserve("group", asks, horizon_s=0.5)
            count += len(granted.grants)
            starts += [grant.start_at for grant in granted.grants]
            await limiter.settle("group", [
                Settlement(reservation_id=grant.reservation_id, how=Settled.USED) for grant in granted.grants
            ])
            if granted.retry_in is not None:
                await asyncio.sleep(max(granted.retry_in, 0.1))
        degraded = (await limiter.state("group")).degraded
        beside.cancel()
    await limiter.close()
    print(json.dumps({"starts": starts, "degraded": degraded, "until": until}), flush=True)

asyncio.run(main())
"""


def test_eight_processes_share_one_limit_and_use_it(redis_url: str) -> None:
    prefix = f"processes:{uuid.uuid4().hex}"
    figures = (RATE_PER_S, RHO, FOR_S)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, redis_url, prefix, f"process {index}", *map(str, figures)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for index in range(PROCESSES)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [json.loads(process.communicate(timeout=SECONDS)[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [answer["degraded"] for answer in answers] == [None] * PROCESSES
    assert sum(bool(answer["starts"]) for answer in answers) == PROCESSES  # nobody is shut out

    starts = sorted(start for answer in answers for start in answer["starts"])
    # The server's bucket: a second's worth deep, full at first, refilled at the pace that was asked for.
    rate, depth = RATE_PER_S * RHO, RATE_PER_S * RHO
    level, at = depth, starts[0]
    for start in starts:
        level = min(depth, level + (start - at) * rate) - 1
        at = start
        assert level >= -1 - OFFSETS_S * rate, "a call would have been refused"
    first, last = starts[0], min(answer["until"] for answer in answers)
    used = sum(first <= start < last for start in starts)
    assert used >= 0.95 * rate * (last - first)
