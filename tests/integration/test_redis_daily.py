"""What a Redis that lost everything learns of the day: from the ledger, and from processes that live on."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from broker.domain.account import Account, Limits
from broker.domain.clock import SystemClock
from broker.domain.usage import Usage, UsageSource
from broker.limits.port import Ask, Charge, Resource, Settled, Settlement
from broker.limits.redis import RedisLimiter
from broker.store import workers
from broker.store.claim import Claimant, claim
from broker.store.engine import Database
from broker.store.record import record
from broker.testing.builders import PROVIDER, a_batch, a_claim, a_report
from broker.testing.manual_clock import ManualClock
from broker.testing.outages import eventually
from broker.wiring.daily import TELL_EVERY_S, DailyUse
from tests.conftest import Opened
from tests.engines import an_account
from tests.servers.redis_server import PrivateRedis

LIMITS = Limits(requests_per_day=1_000, tokens_per_day=50_000)
PAIR = [an_account(name=name, limits=LIMITS, limit_group="organisation") for name in ("north", "south")]
"""Two accounts that the provider limits together."""
STRANGER = an_account(name="east", limits=LIMITS)
DAY, DAY_TOKENS = 990, 49_500
"""What a fleet takes of these limits: 0.99."""
SLACK = 2.0
"""Requests that come back by the second, while the test runs."""


@pytest.fixture
def private(tmp_path: Path) -> Iterator[PrivateRedis]:
    server = PrivateRedis(tmp_path)
    server.start()
    yield server
    server.kill()


@asynccontextmanager
async def a_process(url: str, prefix: str) -> AsyncIterator[RedisLimiter]:
    limiter = RedisLimiter(url, member=uuid.uuid4().hex, clock=SystemClock(), prefix=prefix)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        beside = tasks.create_task(limiter.run())
        try:
            yield limiter
        finally:
            beside.cancel()
            await limiter.close()


async def called(database: Database, account: str, calls: int, at: float) -> None:
    """Calls of this account are in the ledger, each with 100 tokens in and 50 out."""
    batch_id = await database.write(a_batch, calls)
    await database.write(workers.register, account, account)
    claimant = Claimant(worker_id=account, account=account, provider=PROVIDER)
    claims = [a_claim((batch_id, position), f"att-{batch_id}-{position}-1") for position in range(calls)]
    await database.write(claim, claimant, claims)
    usage = Usage(input_tokens=100, output_tokens=50, source=UsageSource.REPORTED)
    reports = [
        a_report((batch_id, position), account=account, usage=usage, finished_at=at) for position in range(calls)
    ]
    await database.write(record, reports)


def daily(limiter: RedisLimiter, database: Database, clock: ManualClock, accounts: Sequence[Account]) -> DailyUse:
    return DailyUse(limiter, database, accounts[0], accounts, clock)


async def degraded(limiter: RedisLimiter, *, away: bool) -> None:
    """Wait until Redis is away, or back; the process's own timeout ends this."""
    while ((await limiter.state("organisation")).degraded is not None) is not away:  # noqa: ASYNC110 - it can only be asked
        await asyncio.sleep(0.02)


async def left(limiter: RedisLimiter, group: str) -> dict[Resource, float]:
    state = await limiter.state(group)
    assert state.degraded is None
    return {level.resource: level.available for level in state.levels}


def test_a_process_that_finds_redis_empty_says_what_the_ledger_says(private: PrivateRedis, database: Opened) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        async with database() as ledger, a_process(private.url, uuid.uuid4().hex) as limiter:
            await called(ledger, "north", 7, at=clock.now())
            await called(ledger, "south", 3, at=clock.now())
            await called(ledger, "east", 5, at=clock.now())
            await daily(limiter, ledger, clock, [*PAIR, STRANGER]).tell()
            levels = await left(limiter, "organisation")
            assert levels[Resource.REQUESTS_PER_DAY] == pytest.approx(DAY - 10, abs=SLACK)
            assert levels[Resource.TOKENS_PER_DAY] == pytest.approx(DAY_TOKENS - 10 * 150, abs=50 * SLACK)

    asyncio.run(scenario())


def test_what_was_used_yesterday_does_not_count(private: PrivateRedis, database: Opened) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        async with database() as ledger, a_process(private.url, uuid.uuid4().hex) as limiter:
            await called(ledger, "north", 7, at=clock.now())
            clock.advance(86_400)
            await called(ledger, "north", 2, at=clock.now())
            await daily(limiter, ledger, clock, PAIR).tell()
            assert (await left(limiter, "organisation"))[Resource.REQUESTS_PER_DAY] == pytest.approx(DAY - 2, abs=0.9)

    asyncio.run(scenario())


def test_a_process_that_lives_on_tells_again_what_it_last_heard_from_the_ledger(
    private: PrivateRedis, database: Opened
) -> None:
    """It was started before the calls were made, and had nothing to do with them."""

    async def scenario() -> None:
        clock = ManualClock()
        async with database() as ledger, asyncio.TaskGroup() as tasks:
            private.kill()
            async with a_process(private.url, uuid.uuid4().hex) as limiter:
                told = daily(limiter, ledger, clock, PAIR)
                await told.tell()
                telling = tasks.create_task(told.run())
                await called(ledger, "north", 40, at=clock.now())
                await eventually(lambda: clock.sleepers)
                clock.advance(TELL_EVERY_S)
                await eventually(lambda: clock.sleepers)  # told, and asleep again
                private.start()
                await degraded(limiter, away=False)
                assert (await left(limiter, "organisation"))[Resource.REQUESTS_PER_DAY] == pytest.approx(
                    DAY - 40, abs=SLACK
                )
                telling.cancel()

    asyncio.run(scenario())


def test_neither_a_newcomer_nor_the_ledger_raises_a_level_that_is_lower(
    private: PrivateRedis, database: Opened
) -> None:
    """The process that lives on has seen calls that are not in the ledger yet."""

    async def scenario() -> None:
        clock, prefix = ManualClock(), uuid.uuid4().hex
        async with database() as ledger, a_process(private.url, prefix) as older:
            await daily(older, ledger, clock, PAIR).tell()
            asks = [Ask(reservation_id=f"call-{number}", need=Charge()) for number in range(30)]
            while len((await older.reserve("organisation", asks, horizon_s=0.5)).grants) < len(asks):  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.05)  # at first it waits whether there are others
            ends = [Settlement(reservation_id=ask.reservation_id, how=Settled.USED) for ask in asks]
            await older.settle("organisation", ends)
            await older.flush()
            private.kill()
            await degraded(older, away=True)
            private.start()
            async with a_process(private.url, prefix) as newcomer:
                await daily(newcomer, ledger, clock, PAIR).tell()
                await newcomer.flush()
                await degraded(older, away=False)
                for limiter in (older, newcomer):
                    levels = await left(limiter, "organisation")
                    assert levels[Resource.REQUESTS_PER_DAY] == pytest.approx(DAY - 30, abs=SLACK)

    asyncio.run(scenario())
