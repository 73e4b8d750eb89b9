"""The shared script grants what the pure bucket grants: the same random histories, side by side, on one clock."""

import asyncio
import uuid
from dataclasses import dataclass

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from broker.domain.account import Limits
from broker.limits.memory import MemoryLimiter
from broker.limits.port import Ask, Charge, Granted, GroupState, Observation, Resource, Settled, Settlement
from broker.limits.redis import RedisLimiter
from broker.testing.manual_clock import ManualClock

GROUP = "group"
RELATIVE = 1e-9
ABSOLUTE = 1e-6

RATES = st.one_of(st.none(), st.sampled_from([60.0, 6_000.0]), st.floats(min_value=1.0, max_value=1e6))
LIMITS = st.builds(
    Limits,
    requests_per_minute=RATES,
    tokens_per_minute=RATES,
    input_tokens_per_minute=RATES,
    output_tokens_per_minute=RATES,
    requests_per_day=RATES,
    tokens_per_day=RATES,
    concurrency=st.one_of(st.none(), st.integers(min_value=1, max_value=8)),
)
SIZES = st.floats(min_value=0.0, max_value=1e5)
CHARGES = st.builds(
    Charge,
    requests=st.sampled_from([1.0, 1.0, 0.0, 2.0]),
    input_tokens=SIZES,
    output_tokens=st.one_of(st.just(0.0), SIZES),
)
NAMES = st.integers(min_value=0, max_value=15).map(str)
SPANS = st.floats(min_value=0.0, max_value=120.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    asks: list[Ask]
    horizon_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    settlements: list[Settlement]


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle:
    hint_s: float
    resource: Resource | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Observe:
    seen: list[Observation]
    sent_ago_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Declare:
    limits: Limits
    rho: float


ASKS = st.builds(Ask, reservation_id=NAMES, need=CHARGES)
SETTLEMENTS = st.builds(
    Settlement, reservation_id=NAMES, how=st.sampled_from(Settled), actual=st.one_of(st.none(), CHARGES)
)
NUMBERS = st.one_of(st.none(), st.sampled_from([30.0, 60.0, 6_000.0]), st.floats(min_value=-1.0, max_value=1e6))
SEEN = st.builds(Observation, resource=st.sampled_from(Resource), limit=NUMBERS, remaining=NUMBERS, reset_s=st.none())
STEPS = st.lists(
    st.one_of(
        st.builds(Wait, seconds=SPANS),
        st.builds(Reserve, asks=st.lists(ASKS, max_size=8), horizon_s=st.sampled_from([0.0, 0.5, 5.0, 300.0])),
        st.builds(Reserve, asks=st.lists(ASKS, max_size=8), horizon_s=st.sampled_from([0.0, 0.5, 5.0, 300.0])),
        st.builds(Settle, settlements=st.lists(SETTLEMENTS, max_size=6)),
        st.builds(
            Throttle,
            hint_s=st.floats(min_value=0.0, max_value=30.0),
            resource=st.one_of(st.none(), st.sampled_from(Resource)),
            reason=st.sampled_from(["rate_limited", "overloaded"]),
        ),
        st.builds(Observe, seen=st.lists(SEEN, max_size=8), sent_ago_s=st.floats(min_value=-1.0, max_value=30.0)),
        st.builds(Declare, limits=LIMITS, rho=st.sampled_from([0.5, 0.99, 1.0])),
    ),
    min_size=1,
    max_size=25,
)
PATIENT_S = 30.0
"""For one call: a machine that is held up must not pass for a server that is away."""
Step = Wait | Reserve | Settle | Throttle | Observe | Declare


def near(found: float, expected: float) -> bool:
    return abs(found - expected) <= max(ABSOLUTE, RELATIVE * abs(expected))


def same_grants(found: Granted, expected: Granted) -> None:
    assert [grant.reservation_id for grant in found.grants] == [grant.reservation_id for grant in expected.grants]
    assert all(near(one.start_at, other.start_at) for one, other in zip(found.grants, expected.grants, strict=True)), (
        found,
        expected,
    )
    assert found.why == expected.why
    assert (found.retry_in is None) == (expected.retry_in is None)
    if found.retry_in is not None and expected.retry_in is not None:
        assert near(found.retry_in, expected.retry_in)


def same_state(found: GroupState, expected: GroupState) -> None:
    assert [level.resource for level in found.levels] == [level.resource for level in expected.levels]
    for one, other in zip(found.levels, expected.levels, strict=True):
        assert (one.period_s, one.limit) == (other.period_s, other.limit)
        assert near(one.available, other.available), (one, other)
        assert near(one.used, other.used), (one, other)
    assert (found.in_flight, found.slots) == (expected.in_flight, expected.slots)
    assert near(found.paused_for_s, expected.paused_for_s)
    assert found.pause_reason == expected.pause_reason


def in_order_of_start(pure: MemoryLimiter) -> bool:
    """What the pure bucket assumes of its open grants to answer quickly what started after a moment."""
    starts = [grant.start_at for grant, _ in pure._groups[GROUP].bucket._open.values()]
    return starts == sorted(starts)


async def compare(url: str, limits: Limits, rho: float, steps: list[Step]) -> None:
    clock = ManualClock()
    pure = MemoryLimiter(clock)
    shared = RedisLimiter(
        url,
        member="one",
        clock=clock,
        prefix=f"test:{uuid.uuid4().hex}",
        server_time=clock.monotonic,
        deadline_s=PATIENT_S,
    )
    try:
        pure.declare(GROUP, limits, rho=rho)
        shared.declare(GROUP, limits, rho=rho, lease_s=1e6)
        await shared.flush()
        for step in steps:
            match step:
                case Wait():
                    clock.advance(step.seconds)
                case Reserve():
                    granted = await pure.reserve(GROUP, step.asks, horizon_s=step.horizon_s)
                    same_grants(await shared.reserve(GROUP, step.asks, horizon_s=step.horizon_s), granted)
                    event("granted" if granted.grants else "refused")
                case Settle():
                    await pure.settle(GROUP, step.settlements)
                    await shared.settle(GROUP, step.settlements)
                case Throttle():
                    for limiter in (pure, shared):
                        await limiter.throttle(GROUP, hint_s=step.hint_s, resource=step.resource, reason=step.reason)
                case Observe():
                    if in_order_of_start(pure):
                        sent_at = clock.monotonic() - step.sent_ago_s
                        await pure.observe(GROUP, step.seen, sent_at=sent_at)
                        await shared.observe(GROUP, step.seen, sent_at=sent_at)
                        event("observed")
                case Declare():
                    pure.declare(GROUP, step.limits, rho=step.rho)
                    shared.declare(GROUP, step.limits, rho=step.rho, lease_s=1e6)
            same_state(await shared.state(GROUP), await pure.state(GROUP))
    finally:
        await shared.close()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limits=LIMITS, rho=st.sampled_from([0.5, 0.99, 1.0]), steps=STEPS)
def test_the_script_decides_as_the_pure_bucket_does(
    redis_url: str, limits: Limits, rho: float, steps: list[Step]
) -> None:
    asyncio.run(compare(redis_url, limits, rho, steps))
