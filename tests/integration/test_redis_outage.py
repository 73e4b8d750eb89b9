"""The limiter while its server hangs, dies, and comes back empty: never unlimited, never stopped."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import redis

from broker.domain.account import Limits
from broker.domain.clock import SystemClock
from broker.limits.port import Ask, Charge, Resource, Settled, Settlement
from broker.limits.redis import RedisLimiter
from tests.servers.redis_server import PrivateRedis

GROUP = "group"
SECONDS = 60
WINDOW_S = 10.0


@pytest.fixture
def private(tmp_path: Path) -> Iterator[PrivateRedis]:
    server = PrivateRedis(tmp_path)
    server.start()
    yield server
    server.kill()


@asynccontextmanager
async def running(url: str, members: int, limits: Limits, **declared: object) -> AsyncIterator[list[RedisLimiter]]:
    prefix = f"outage:{uuid.uuid4().hex}"
    limiters = [
        RedisLimiter(url, member=f"process {index}", clock=SystemClock(), prefix=prefix) for index in range(members)
    ]
    try:
        async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as tasks:
            beside = [tasks.create_task(limiter.run()) for limiter in limiters]
            for limiter in limiters:
                limiter.declare(GROUP, limits, rho=1.0, **declared)  # type: ignore[arg-type]
                await limiter.flush()
            try:
                yield limiters
            finally:
                for task in beside:
                    task.cancel()
    finally:
        for limiter in limiters:
            await limiter.close()


def prefix_of(limiter: RedisLimiter) -> str:
    return limiter._link._prefix


def asks(*names: str) -> list[Ask]:
    return [Ask(reservation_id=name, need=Charge()) for name in names]


def ended(*names: str, how: Settled = Settled.USED) -> list[Settlement]:
    return [Settlement(reservation_id=name, how=how) for name in names]


async def until(limiter: RedisLimiter, holds: Callable[[str | None], bool]) -> None:
    """Wait until what `state` says of the server holds; the scenario's timeout ends this."""
    while not holds((await limiter.state(GROUP)).degraded):  # noqa: ASYNC110 - an outage can only be asked for
        await asyncio.sleep(0.02)


def is_back(degraded: str | None) -> bool:
    return degraded is None


def is_away(degraded: str | None) -> bool:
    return degraded is not None


async def spend(limiter: RedisLimiter, name: str, starts: list[float], stop: asyncio.Event) -> None:
    """Keep asking as a worker does, and note the start times."""
    count = 0
    while not stop.is_set():
        names = [f"{name}-{count + index}" for index in range(16)]
        granted = await limiter.reserve(GROUP, asks(*names), horizon_s=0.5)
        count += len(granted.grants)
        starts += [grant.start_at for grant in granted.grants]
        await limiter.settle(GROUP, ended(*(grant.reservation_id for grant in granted.grants)))
        await asyncio.sleep(0.25 if granted.retry_in is None else max(granted.retry_in, 0.25))


def busiest(starts: list[float], window_s: float) -> int:
    """Most starts in any window."""
    ordered, first, most = sorted(starts), 0, 0
    for index, start in enumerate(ordered):
        while ordered[first] <= start - window_s:
            first += 1
        most = max(most, index - first + 1)
    return most


def test_a_server_that_hangs_is_done_without(private: PrivateRedis) -> None:
    async def scenario() -> None:
        async with running(private.url, 1, Limits(requests_per_minute=6_000)) as (limiter,):
            private.freeze()
            async with asyncio.timeout(
                3.0
            ):  # far above the deadline of a call, far below what a client waits by itself
                granted = await limiter.reserve(GROUP, asks("a", "b"), horizon_s=0.5)
            assert len(granted.grants) == 2
            assert "TimeoutError" in ((await limiter.state(GROUP)).degraded or "")
            private.thaw()
            await until(limiter, is_back)

    asyncio.run(scenario())


def test_a_grant_whose_answer_was_lost_is_given_back(private: PrivateRedis) -> None:
    async def scenario() -> None:
        async with running(private.url, 2, Limits(concurrency=8)) as (limiter, other):
            await limiter.state(GROUP)  # two are known
            private.freeze()
            granted = await limiter.reserve(GROUP, asks("a", "b", "c", "d", "e"), horizon_s=0.5)
            held = [grant.reservation_id for grant in granted.grants]
            assert held == ["a", "b", "c"]  # 0.8 of 8, by 2
            private.thaw()  # it now runs the script for all five, and nobody hears
            await until(limiter, is_back)
            await until(other, is_back)
            assert (await other.state(GROUP)).in_flight == 3
            await limiter.settle(GROUP, ended(*held))
            assert (await limiter.state(GROUP)).in_flight == 0

    asyncio.run(scenario())


def test_without_a_server_each_process_takes_a_cautious_share(private: PrivateRedis) -> None:
    async def scenario() -> None:
        async with running(private.url, 4, Limits(requests_per_minute=6_000, concurrency=40)) as limiters:
            for limiter in limiters:
                await limiter.state(GROUP)  # all have joined: four are known
            private.kill()
            for limiter in limiters:
                names = [f"{id(limiter)}-{index}" for index in range(64)]
                granted = await limiter.reserve(GROUP, asks(*names), horizon_s=10.0)
                assert (len(granted.grants), granted.why) == (8, "slots")  # 0.8 of 40 slots, by 4
                steps = [after.start_at - before.start_at for before, after in pairwise(granted.grants)]
                assert min(steps) == pytest.approx(1 / 20, abs=1e-3)  # 0.8 of 100/s, by 4
                state = await limiter.state(GROUP)
                assert state.degraded is not None
                assert state.levels[0].limit == pytest.approx(1_200)
                assert state.slots == 8

    asyncio.run(scenario())


def test_a_server_that_never_was_there_leaves_the_expected_share() -> None:
    async def scenario() -> None:
        async with running("redis://127.0.0.1:1", 1, Limits(requests_per_minute=600), workers=8) as (limiter,):
            granted = await limiter.reserve(GROUP, asks("a", "b"), horizon_s=5.0)
            first, second = granted.grants
            assert second.start_at - first.start_at == pytest.approx(1.0, abs=0.05)  # 0.8 of 10/s, by 8

    asyncio.run(scenario())


def test_what_is_open_is_said_again_before_anything_is_granted(private: PrivateRedis) -> None:
    async def scenario() -> None:
        async with running(private.url, 2, Limits(concurrency=4)) as (one, two):
            await one.reserve(GROUP, asks("a", "b", "c"), horizon_s=0.5)
            private.kill()
            await until(one, is_away)
            await until(two, is_away)
            private.start()
            await until(one, is_back)
            await until(two, is_back)
            assert (await two.state(GROUP)).in_flight == 3
            while True:  # for a second after the loss nobody is granted anything
                granted = await two.reserve(GROUP, asks("d", "e"), horizon_s=0.5)
                if granted.why == "slots":
                    break
                assert granted.why == "paused: the shared levels were lost"
                await asyncio.sleep(0.05)
            assert len(granted.grants) == 1
            await one.settle(GROUP, ended("a", "b", "c"))
            await one.flush()
            assert (await two.state(GROUP)).in_flight == 1

    asyncio.run(scenario())


def test_a_newcomer_that_comes_first_waits_for_what_others_hold(private: PrivateRedis) -> None:
    async def scenario() -> None:
        limits = Limits(concurrency=4)
        async with running(private.url, 1, limits, workers=2) as (one,):
            granted = await one.reserve(GROUP, asks("a", "b", "c"), horizon_s=2.0)
            assert len(granted.grants) == 3
            private.kill()
            await until(one, is_away)
            private.start()
            newcomer = RedisLimiter(private.url, member="newcomer", clock=SystemClock(), prefix=prefix_of(one))
            newcomer.declare(GROUP, limits, rho=1.0, workers=2)
            granted = await newcomer.reserve(GROUP, asks("d", "e"), horizon_s=0.5)
            assert granted.why == "paused: the shared levels were lost"
            await until(one, is_back)
            while granted.why != "slots":
                granted = await newcomer.reserve(GROUP, asks("d", "e"), horizon_s=0.5)
                await asyncio.sleep(0.05)
            assert len(granted.grants) == 1
            await newcomer.close()

    asyncio.run(scenario())


def test_a_server_emptied_behind_our_back_is_noticed_at_the_next_call(private: PrivateRedis) -> None:
    async def scenario() -> None:
        limits = Limits(requests_per_minute=600, requests_per_day=1_000)
        async with running(private.url, 1, limits) as (limiter,):
            await limiter.reserve(GROUP, asks("a", "b"), horizon_s=0.5)
            with redis.Redis.from_url(private.url) as client:
                client.flushall()
            refused = await limiter.reserve(GROUP, asks("c"), horizon_s=0.5)
            assert refused.why == "paused: the shared levels were lost"
            state = await limiter.state(GROUP)
            assert (state.in_flight, state.degraded) == (2, None)
            levels = {level.resource: level.available for level in state.levels}
            assert levels[Resource.REQUESTS] < 0
            assert 996 <= levels[Resource.REQUESTS_PER_DAY] <= 998.5  # what had not started may count twice

    asyncio.run(scenario())


def test_a_pause_outlives_the_server(private: PrivateRedis) -> None:
    async def scenario() -> None:
        async with running(private.url, 2, Limits(requests_per_minute=6_000)) as (told, other):
            await told.throttle(GROUP, hint_s=300.0, resource=None, reason="rate_limited")
            private.kill()
            await until(told, is_away)
            assert (await told.reserve(GROUP, asks("a"), horizon_s=0.5)).why == "paused: rate_limited"
            private.start()
            await until(told, is_back)
            assert (await other.state(GROUP)).paused_for_s > 250
            assert (await other.reserve(GROUP, asks("b"), horizon_s=0.5)).why == "paused: rate_limited"

    asyncio.run(scenario())


def test_a_stop_while_the_server_is_away_is_obeyed_when_it_is_back(private: PrivateRedis) -> None:
    async def scenario() -> None:
        async with running(private.url, 2, Limits(requests_per_minute=6_000)) as (told, other):
            private.kill()
            await until(told, is_away)
            await told.throttle(GROUP, hint_s=300.0, resource=None, reason="rate_limited")
            assert (await told.reserve(GROUP, asks("a"), horizon_s=0.5)).why == "paused: rate_limited"
            private.start()
            await until(told, is_back)
            await until(other, is_back)
            assert (await other.reserve(GROUP, asks("b"), horizon_s=0.5)).why == "paused: rate_limited"

    asyncio.run(scenario())


def test_kills_and_empty_restarts_neither_stop_nor_exceed_the_limit(private: PrivateRedis) -> None:
    per_s = 50.0
    starts: list[float] = []

    async def scenario() -> None:
        stop = asyncio.Event()
        limits = Limits(requests_per_minute=per_s * 60)
        async with running(private.url, 3, limits) as limiters, asyncio.TaskGroup() as tasks:
            for index, limiter in enumerate(limiters):
                tasks.create_task(spend(limiter, f"p{index}", starts, stop))
            await asyncio.sleep(3.0)
            for away_s in (6.0, 0.0):
                private.kill()
                await asyncio.sleep(away_s)
                private.start()
                await asyncio.sleep(4.0)
            stop.set()

    began = time.monotonic()
    asyncio.run(scenario())
    ordered = sorted(start for start in starts if start < time.monotonic())
    assert busiest(ordered, WINDOW_S) <= 1.10 * per_s * WINDOW_S
    assert max(after - before for before, after in pairwise([began, *ordered])) <= 5.0
    assert len(ordered) >= 0.6 * per_s * (ordered[-1] - began)
