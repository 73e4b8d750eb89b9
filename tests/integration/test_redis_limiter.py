"""The limiter on Redis, beyond the contract: what several processes see of each other."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis

from broker.domain.account import Limits
from broker.domain.clock import SystemClock
from broker.limits.port import Ask, Charge, Resource, Settled, Settlement
from broker.limits.redis import RedisLimiter
from broker.testing.manual_clock import ManualClock
from tests.servers.redis_server import PrivateRedis

GROUP = "group"
SECONDS = 20
SLOTS = Limits(concurrency=3)


class Fleet:
    """Limiters of several processes on one server, on one clock that the test moves."""

    def __init__(self, url: str, clock: ManualClock, *, ahead_s: float = 0.0) -> None:
        self.clock = clock
        self._url = url
        self._prefix = f"test:{uuid.uuid4().hex}"
        self._ahead_s = ahead_s
        self._members: list[RedisLimiter] = []

    def member(self, limits: Limits, *, lease_s: float = 1e6, used_today: float = 0.0) -> RedisLimiter:
        limiter = RedisLimiter(
            self._url,
            member=f"process {len(self._members)}",
            clock=self.clock,
            prefix=self._prefix,
            deadline_s=30.0,  # a machine that is held up must not pass for a server that is away
            server_time=lambda: self.clock.monotonic() + self._ahead_s,
        )
        used = {Resource.REQUESTS_PER_DAY: used_today}
        limiter.declare(GROUP, limits, rho=1.0, used_today=used, lease_s=lease_s)
        self._members.append(limiter)
        return limiter

    async def close(self) -> None:
        for limiter in self._members:
            await limiter.close()


@asynccontextmanager
async def fleet(url: str, *, ahead_s: float = 0.0) -> AsyncIterator[Fleet]:
    together = Fleet(url, ManualClock(), ahead_s=ahead_s)
    try:
        yield together
    finally:
        await together.close()


@asynccontextmanager
async def running(url: str, *names: str, limits: Limits) -> AsyncIterator[list[RedisLimiter]]:
    """Limiters in real time, with what runs beside them."""
    prefix = f"test:{uuid.uuid4().hex}"
    limiters = [RedisLimiter(url, member=name, clock=SystemClock(), prefix=prefix) for name in names]
    try:
        async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as tasks:
            beside = [tasks.create_task(limiter.run()) for limiter in limiters]
            for limiter in limiters:
                limiter.declare(GROUP, limits, rho=1.0)
            try:
                yield limiters
            finally:
                for task in beside:
                    task.cancel()
    finally:
        for limiter in limiters:
            await limiter.close()


@pytest.fixture
def private(tmp_path: Path) -> Iterator[PrivateRedis]:
    server = PrivateRedis(tmp_path)
    server.start()
    yield server
    server.kill()


def asks(*names: str, tokens: float = 0.0) -> list[Ask]:
    return [Ask(reservation_id=name, need=Charge(input_tokens=tokens)) for name in names]


def ended(*names: str, how: Settled = Settled.USED) -> list[Settlement]:
    return [Settlement(reservation_id=name, how=how) for name in names]


async def in_flight(limiter: RedisLimiter) -> int:
    return (await limiter.state(GROUP)).in_flight


async def available(limiter: RedisLimiter) -> float:
    return (await limiter.state(GROUP)).levels[0].available


def script_calls(server: PrivateRedis) -> int:
    with redis.Redis.from_url(server.url) as client:
        stats = client.info("commandstats")
    return sum(int(stats[name]["calls"]) for name in ("cmdstat_evalsha", "cmdstat_eval") if name in stats)


def test_processes_are_spaced_by_one_clock(redis_url: str) -> None:
    async def scenario() -> None:
        async with fleet(redis_url) as together:
            one, two = (
                together.member(Limits(requests_per_minute=600)),
                together.member(Limits(requests_per_minute=600)),
            )
            first = await one.reserve(GROUP, asks("a", "b"), horizon_s=1.0)
            second = await two.reserve(GROUP, asks("c", "d"), horizon_s=1.0)
            starts = [grant.start_at - together.clock.monotonic() for grant in (*first.grants, *second.grants)]
            assert starts == pytest.approx([0.0, 0.1, 0.2, 0.3])

    asyncio.run(scenario())


def test_a_reservation_has_one_grant_whoever_asks(redis_url: str) -> None:
    async def scenario() -> None:
        async with fleet(redis_url) as together:
            one, two = together.member(Limits(requests_per_minute=60)), together.member(Limits(requests_per_minute=60))
            first = await one.reserve(GROUP, asks("a", "b"), horizon_s=5.0)
            again = await two.reserve(GROUP, asks("a", "b"), horizon_s=5.0)
            assert list(again.grants) == list(first.grants)
            assert await in_flight(two) == 2

    asyncio.run(scenario())


def test_start_times_are_given_on_the_clock_of_the_process(redis_url: str) -> None:
    async def scenario() -> None:
        async with fleet(redis_url, ahead_s=1e6) as together:
            limiter = together.member(Limits(requests_per_minute=600))
            granted = await limiter.reserve(GROUP, asks("a", "b"), horizon_s=1.0)
            starts = [grant.start_at - together.clock.monotonic() for grant in granted.grants]
            assert starts == pytest.approx([0.0, 0.1], abs=1e-6)

    asyncio.run(scenario())


def test_a_lease_that_has_passed_gives_its_slot_back_but_no_tokens(redis_url: str) -> None:
    async def scenario() -> None:
        limits = Limits(tokens_per_minute=60, concurrency=1)
        async with fleet(redis_url) as together:
            limiter = together.member(limits, lease_s=10.0)
            await limiter.reserve(GROUP, asks("lost", tokens=60.0), horizon_s=5.0)
            together.clock.advance(10.5)
            assert await in_flight(limiter) == 1
            together.clock.advance(1.0)
            assert await in_flight(limiter) == 0
            assert await available(limiter) == pytest.approx(11.5 - 60.0)
            await limiter.settle(GROUP, ended("lost", how=Settled.NOT_STARTED))  # too late, nothing comes back
            assert await available(limiter) == pytest.approx(11.5 - 60.0)

    asyncio.run(scenario())


def test_the_slots_of_a_dead_process_come_back_long_before_their_leases(redis_url: str) -> None:
    async def scenario() -> None:
        async with fleet(redis_url) as together:
            dead, alive = together.member(SLOTS), together.member(SLOTS)
            await dead.reserve(GROUP, asks("a", "b"), horizon_s=1.0)
            await alive.reserve(GROUP, asks("c"), horizon_s=1.0)
            together.clock.advance(25.0)
            assert (await alive.reserve(GROUP, asks("d"), horizon_s=1.0)).why == "slots"
            together.clock.advance(6.0)
            granted = await alive.reserve(GROUP, asks("d", "e", "f"), horizon_s=1.0)
            assert len(granted.grants) == 2  # its own is still open

    asyncio.run(scenario())


def test_a_process_that_was_taken_for_dead_says_what_it_holds_before_it_gets_more(redis_url: str) -> None:
    async def scenario() -> None:
        async with fleet(redis_url) as together:
            frozen, other = together.member(SLOTS), together.member(SLOTS)
            await frozen.reserve(GROUP, asks("a", "b"), horizon_s=1.0)
            await other.state(GROUP)
            together.clock.advance(31.0)
            assert await in_flight(other) == 0
            granted = await frozen.reserve(GROUP, asks("c", "d"), horizon_s=1.0)
            assert (len(granted.grants), granted.why) == (1, "slots")
            assert await in_flight(other) == 3

    asyncio.run(scenario())


def test_a_process_that_leaves_frees_what_it_held(redis_url: str) -> None:
    async def scenario() -> None:
        async with fleet(redis_url) as together:
            leaving, staying = together.member(SLOTS), together.member(SLOTS)
            await leaving.reserve(GROUP, asks("a", "b"), horizon_s=1.0)
            await leaving.close()
            assert await in_flight(staying) == 0

    asyncio.run(scenario())


def test_a_pause_stops_every_process_and_voids_what_was_granted_before(redis_url: str) -> None:
    async def scenario() -> None:
        limits = Limits(requests_per_minute=600)
        async with fleet(redis_url) as together:
            told, other = together.member(limits), together.member(limits)
            await other.reserve(GROUP, asks("a"), horizon_s=1.0)
            granted_at = together.clock.monotonic()
            assert other.void_before(GROUP) < granted_at
            together.clock.advance(0.5)
            await told.throttle(GROUP, hint_s=10.0, resource=None, reason="rate_limited")
            refused = await other.reserve(GROUP, asks("b"), horizon_s=1.0)
            assert (list(refused.grants), refused.why) == ([], "paused: rate_limited")
            assert refused.retry_in == pytest.approx(9.1)
            assert granted_at < other.void_before(GROUP) == pytest.approx(together.clock.monotonic())

    asyncio.run(scenario())


def test_day_levels_begin_where_the_ledger_says(redis_url: str) -> None:
    async def scenario() -> None:
        limits = Limits(requests_per_day=50)
        async with fleet(redis_url) as together:
            first = together.member(limits, used_today=48.0)
            granted = await first.reserve(GROUP, asks("a", "b", "c"), horizon_s=1.0)
            assert (len(granted.grants), granted.why) == (2, "requests_per_day")
            second = together.member(limits, used_today=0.0)  # the shared level is known better
            assert len((await second.reserve(GROUP, asks("d"), horizon_s=1.0)).grants) == 0

    asyncio.run(scenario())


def test_a_slot_freed_by_one_process_wakes_a_waiter_in_another(redis_url: str) -> None:
    async def scenario() -> None:
        async with running(redis_url, "one", "two", limits=Limits(concurrency=1)) as (one, two):
            await one.reserve(GROUP, asks("a"), horizon_s=1.0)
            refused = await two.reserve(GROUP, asks("b"), horizon_s=1.0)
            assert refused.why == "slots"
            async with asyncio.TaskGroup() as tasks:
                waiting = tasks.create_task(two.changed(GROUP, since=refused.generation))
                await one.settle(GROUP, ended("a"))
                await waiting
            assert len((await two.reserve(GROUP, asks("b"), horizon_s=1.0)).grants) == 1

    asyncio.run(scenario())


def test_settlements_are_sent_though_nobody_asks(redis_url: str) -> None:
    async def scenario() -> None:
        async with running(redis_url, "one", "two", limits=SLOTS) as (one, two):
            for name in ("a", "b", "c"):
                await one.reserve(GROUP, asks(name), horizon_s=1.0)
                await one.settle(GROUP, ended(name))
                async with asyncio.timeout(3.0):  # before the next sign of life would carry it
                    while await in_flight(two):  # noqa: ASYNC110 - what another process sees can only be asked for
                        await asyncio.sleep(0.01)

    asyncio.run(scenario())


def test_many_jobs_share_a_call(private: PrivateRedis) -> None:
    async def scenario() -> None:
        async with running(private.url, "one", limits=Limits(requests_per_minute=60_000)) as (limiter,):
            await limiter.flush()
            before, done = script_calls(private), 0
            while done < 320:
                granted = await limiter.reserve(
                    GROUP, asks(*(f"r{done + index}" for index in range(32))), horizon_s=0.5
                )
                for grant in granted.grants:
                    await limiter.settle(GROUP, ended(grant.reservation_id))
                done += len(granted.grants)
                if granted.retry_in is not None:
                    await asyncio.sleep(max(granted.retry_in, 0.1))
            await limiter.flush()
            assert (script_calls(private) - before) / done <= 0.3

    asyncio.run(scenario())


def test_a_forgotten_script_is_sent_again(private: PrivateRedis) -> None:
    async def scenario() -> None:
        async with running(private.url, "one", limits=SLOTS) as (limiter,):
            await limiter.reserve(GROUP, asks("a"), horizon_s=1.0)
            with redis.Redis.from_url(private.url) as client:
                client.script_flush()
            assert len((await limiter.reserve(GROUP, asks("b"), horizon_s=1.0)).grants) == 1
            assert (await limiter.state(GROUP)).degraded is None

    asyncio.run(scenario())


def test_everything_a_group_leaves_behind_is_forgotten_in_the_end(private: PrivateRedis) -> None:
    async def scenario() -> None:
        limits = Limits(requests_per_minute=600, concurrency=8)
        async with fleet(private.url) as together:
            limiter = together.member(limits)
            await limiter.reserve(GROUP, asks("a", "b"), horizon_s=1.0)
            together.clock.advance(2.0)
            await limiter.reserve(GROUP, asks("c"), horizon_s=1.0)
            with redis.Redis.from_url(private.url) as client:
                left = {key: client.ttl(key) for key in client.scan_iter()}
            assert len(left) == 5
            assert all(ttl > 0 for ttl in left.values())

    asyncio.run(scenario())


def test_only_tests_may_replace_the_clock_of_the_server() -> None:
    with pytest.raises(ValueError, match="may replace the server's clock"):
        RedisLimiter("redis://127.0.0.1", member="one", clock=SystemClock(), server_time=lambda: 0.0)


def test_a_limit_of_nothing_is_refused_where_it_is_declared(redis_url: str) -> None:
    limiter = RedisLimiter(redis_url, member="one", clock=SystemClock(), prefix="test")
    with pytest.raises(ValueError, match="above zero"):
        limiter.declare(GROUP, Limits(requests_per_minute=0.0))
