"""What the transport costs: printed, not judged, since a shared machine says nothing about the code."""

import asyncio
import time

from broker.testing.contracts.transport import ROUTE, Hands, a_turn, waiting_becomes
from tests.rabbit_rig import Rig, a_transport

TURNS = 1_000
JOBS = 8


def test_a_thousand_turns_pass_through_and_each_comes_once(rabbitmq_url: str) -> None:
    async def run() -> None:
        async with a_transport(rabbitmq_url) as transport:
            turns = [a_turn(*range(n * JOBS, (n + 1) * JOBS)) for n in range(TURNS)]
            began, cpu = time.perf_counter(), time.process_time()
            await transport.publish(turns)
            published, published_cpu = time.perf_counter(), time.process_time()
            hands = Hands(transport)
            hands.consumer.resize(1_000)
            seen: set[int] = set()
            while len(seen) < TURNS * JOBS:
                taken = await hands.take(1)
                assert seen.isdisjoint(job.key.position for delivery in taken for job in delivery.turn.jobs)
                for delivery in taken:
                    seen.update(job.key.position for job in delivery.turn.jobs)
                    await delivery.ack()
            ended, ended_cpu = time.perf_counter(), time.process_time()
            jobs = TURNS * JOBS
            for what, wall, used in (
                ("publish", published - began, published_cpu - cpu),
                ("consume and ack", ended - published, ended_cpu - published_cpu),
            ):
                print(f"{what}: {wall / jobs * 1e6:.1f} µs a job, {used / jobs * 1e6:.1f} µs of it our CPU")  # noqa: T201
            await waiting_becomes(Rig(transport=transport), ROUTE, 0)

    asyncio.run(run())
