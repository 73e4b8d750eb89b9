"""Whoever is told to end while it talks to Redis ends."""

import asyncio
import uuid

from redis.exceptions import RedisError

from broker.limits.redis_link import Link

STEPS = 60
"""More than a call takes: it is cancelled at each of them."""


def test_a_call_that_is_cancelled_at_any_step_does_not_go_on(redis_url: str) -> None:
    async def run() -> list[int]:
        link = Link(redis_url, prefix=f"test-{uuid.uuid4().hex}")
        went_on = []
        try:
            for steps in range(STEPS):
                call = asyncio.get_running_loop().create_task(_asked(link))
                for _ in range(steps):
                    await asyncio.sleep(0)
                under_way = call.cancel()
                await asyncio.wait([call])
                if under_way and not call.cancelled():
                    went_on.append(steps)
        finally:
            await link.close()
        return went_on

    assert asyncio.run(run()) == []


async def _asked(link: Link) -> None:
    try:
        await link.call("group", b"nothing that the script could read")
    except RedisError:
        return
