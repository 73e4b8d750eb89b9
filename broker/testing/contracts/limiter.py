"""What every limiter must do: cases over a rig, to be run once per adapter.

A rig owns one fresh limiter and its time. A test module parametrises over `CASES` and its rigs.
"""
# ruff: noqa: S101 - a contract is made of assertions

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from broker.domain.account import Limits
from broker.limits.port import (
    Ask,
    Charge,
    Granted,
    Level,
    Limiter,
    Observation,
    Resource,
    Settled,
    Settlement,
)

GROUP = "group"
NEAR_S = 1e-3


class LimiterRig(Protocol):
    """A limiter whose groups start cold, and whose time only the rig moves."""

    @property
    def limiter(self) -> Limiter: ...

    async def declare(self, group: str, limits: Limits, *, rho: float) -> None:
        """Make a group known to the limiter, or change its limits."""
        ...

    async def now(self) -> float:
        """Read the clock that start times are given in, in seconds."""
        ...

    async def advance(self, seconds: float) -> None:
        """Let time pass."""
        ...


def asks(*names: str, input_tokens: float = 0.0, output_tokens: float = 0.0) -> list[Ask]:
    """Wishes for calls of one size."""
    need = Charge(input_tokens=input_tokens, output_tokens=output_tokens)
    return [Ask(reservation_id=name, need=need) for name in names]


def names(count: int, prefix: str = "r") -> list[str]:
    """Return reservation ids."""
    return [f"{prefix}{index}" for index in range(count)]


async def _declared(rig: LimiterRig, limits: Limits) -> Limiter:
    await rig.declare(GROUP, limits, rho=1.0)
    return rig.limiter


async def _waits(rig: LimiterRig, granted: Granted) -> list[float]:
    now = await rig.now()
    return [grant.start_at - now for grant in granted.grants]


async def _level(limiter: Limiter, resource: Resource) -> Level:
    return next(level for level in (await limiter.state(GROUP)).levels if level.resource is resource)


async def _settle(limiter: Limiter, how: Settled, *ids: str, actual: Charge | None = None) -> None:
    await limiter.settle(GROUP, [Settlement(reservation_id=id_, how=how, actual=actual) for id_ in ids])


def _near(found: float, expected: float, *, within: float = NEAR_S) -> bool:
    return abs(found - expected) <= within


def _all_near(found: Sequence[float], expected: Sequence[float]) -> bool:
    return len(found) == len(expected) and all(map(_near, found, expected))


async def starts_are_spaced_by_the_rate(rig: LimiterRig) -> None:
    limiter = await _declared(rig, Limits(requests_per_minute=600))
    granted = await limiter.reserve(GROUP, asks(*names(5)), horizon_s=1.0)
    assert _all_near(await _waits(rig, granted), [0.0, 0.1, 0.2, 0.3, 0.4])
    assert granted.retry_in is None


async def grants_are_a_prefix_within_the_horizon(rig: LimiterRig) -> None:
    limiter = await _declared(rig, Limits(requests_per_minute=600))
    granted = await limiter.reserve(GROUP, asks(*names(9)), horizon_s=0.45)
    assert [grant.reservation_id for grant in granted.grants] == names(5)
    assert granted.why == "requests"
    assert granted.retry_in is not None
    assert _near(granted.retry_in, 0.05)
    await rig.advance(granted.retry_in)
    again = await limiter.reserve(GROUP, asks("r5"), horizon_s=0.45)
    assert len(again.grants) == 1


async def asking_again_with_an_open_id_returns_the_first_grant(rig: LimiterRig) -> None:
    limiter = await _declared(rig, Limits(requests_per_minute=60))
    first = await limiter.reserve(GROUP, asks("a", "b"), horizon_s=5.0)
    again = await limiter.reserve(GROUP, asks("a", "b"), horizon_s=5.0)
    assert list(again.grants) == list(first.grants)
    assert (await limiter.state(GROUP)).in_flight == 2


async def slots_bound_the_calls_in_flight(rig: LimiterRig) -> None:
    limiter = await _declared(rig, Limits(concurrency=2))
    granted = await limiter.reserve(GROUP, asks(*names(3)), horizon_s=1.0)
    assert (len(granted.grants), granted.retry_in, granted.why) == (2, None, "slots")
    await _settle(limiter, Settled.USED, "r0")
    assert len((await limiter.reserve(GROUP, asks("r2"), horizon_s=1.0)).grants) == 1


async def a_freed_slot_wakes_a_waiter_and_is_never_missed(rig: LimiterRig) -> None:
    limiter = await _declared(rig, Limits(concurrency=1))
    await limiter.reserve(GROUP, asks("a"), horizon_s=1.0)
    refused = await limiter.reserve(GROUP, asks("b"), horizon_s=1.0)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(limiter.changed(GROUP, since=refused.generation))
        await asyncio.sleep(0)
        await _settle(limiter, Settled.USED, "a")
    async with asyncio.timeout(10):
        await limiter.changed(GROUP, since=refused.generation)


async def a_job_above_the_burst_waits_for_a_full_bucket_and_leaves_debt(rig: LimiterRig) -> None:
    limiter = await _declared(rig, Limits(tokens_per_minute=6_000))
    granted = await limiter.reserve(GROUP, asks("big", "next", input_tokens=1_000), horizon_s=30.0)
    assert _all_near(await _waits(rig, granted), [1.0, 11.0])
    assert (await _level(limiter, Resource.TOKENS)).available < 0


async def settling_with_less_gives_tokens_back_beyond_the_burst(rig: LimiterRig) -> None:
    limiter = await _declared(rig, Limits(tokens_per_minute=6_000))
    await limiter.reserve(GROUP, asks("a", input_tokens=100, output_tokens=2_000), horizon_s=5.0)
    await rig.advance(30.0)
    await _settle(limiter, Settled.USED, "a", actual=Charge(input_tokens=100, output_tokens=100))
    available = (await _level(limiter, Resource.TOKENS)).available
    assert _near(available, 600.0, within=1.0)  # a burst of 100 and five seconds of 100


async def settling_with_more_charges_the_rest(rig: LimiterRig) -> None:
    limiter = await _declared(rig, Limits(tokens_per_minute=6_000))
    await rig.advance(1.0)
    await limiter.reserve(GROUP, asks("a", output_tokens=50), horizon_s=0.0)
    await _settle(limiter, Settled.USED, "a", actual=Charge(output_tokens=250))
    assert _near((await _level(limiter, Resource.TOKENS)).available, -150.0, within=1.0)


async def a_rejected_call_costs_its_request_only(rig: LimiterRig) -> None:
    limiter = await _declared(rig, Limits(requests_per_minute=60, tokens_per_minute=6_000))
    await rig.advance(1.0)
    await limiter.reserve(GROUP, asks("a", input_tokens=80), horizon_s=0.0)
    await _settle(limiter, Settled.REJECTED, "a")
    assert _near((await _level(limiter, Resource.REQUESTS)).available, 0.0)
    assert _near((await _level(limiter, Resource.TOKENS)).available, 100.0, within=0.1)


async def a_call_that_was_never_started_costs_nothing(rig: LimiterRig) -> None:
    limiter = await _declared(rig, Limits(requests_per_minute=60, tokens_per_minute=6_000))
    await rig.advance(1.0)
    await limiter.reserve(GROUP, asks("a", input_tokens=80), horizon_s=0.0)
    await _settle(limiter, Settled.NOT_STARTED, "a")
    assert _near((await _level(limiter, Resource.REQUESTS)).available, 1.0)
    assert _near((await _level(limiter, Resource.TOKENS)).available, 100.0, within=0.1)
    assert (await limiter.state(GROUP)).in_flight == 0


async def settling_twice_is_settling_once(rig: LimiterRig) -> None:
    limiter = await _declared(rig, Limits(tokens_per_minute=6_000, concurrency=4))
    await limiter.reserve(GROUP, asks("a", input_tokens=1_000), horizon_s=5.0)
    await _settle(limiter, Settled.NOT_STARTED, "a", "a")
    once = (await _level(limiter, Resource.TOKENS)).available
    await _settle(limiter, Settled.NOT_STARTED, "a", "never-reserved")
    assert _near((await _level(limiter, Resource.TOKENS)).available, once, within=0.1)
    assert (await limiter.state(GROUP)).in_flight == 0


async def a_pause_stops_the_group_and_work_resumes_spaced(rig: LimiterRig) -> None:
    limiter = await _declared(rig, Limits(requests_per_minute=600))
    await rig.advance(60.0)
    await limiter.throttle(GROUP, hint_s=10.0, resource=Resource.REQUESTS, reason="rate_limited")
    refused = await limiter.reserve(GROUP, asks("a"), horizon_s=1.0)
    assert (len(refused.grants), refused.why) == (0, "paused: rate_limited")
    assert refused.retry_in is not None
    await rig.advance(10.0)
    granted = await limiter.reserve(GROUP, asks(*names(4)), horizon_s=1.0)
    assert _all_near(await _waits(rig, granted), [0.1, 0.2, 0.3, 0.4])


async def a_shorter_pause_never_shortens_a_longer_one(rig: LimiterRig) -> None:
    limiter = await _declared(rig, Limits(requests_per_minute=600))
    await limiter.throttle(GROUP, hint_s=10.0, resource=None, reason="long")
    await limiter.throttle(GROUP, hint_s=1.0, resource=None, reason="short")
    state = await limiter.state(GROUP)
    assert _near(state.paused_for_s, 10.0, within=0.1)
    assert state.pause_reason == "long"


async def grants_given_back_during_a_pause_are_no_burst_at_its_end(rig: LimiterRig) -> None:
    limiter = await _declared(rig, Limits(requests_per_minute=600))
    await limiter.reserve(GROUP, asks(*names(10)), horizon_s=1.0)
    await limiter.throttle(GROUP, hint_s=5.0, resource=Resource.REQUESTS, reason="rate_limited")
    await _settle(limiter, Settled.NOT_STARTED, *names(10))
    await rig.advance(5.0)
    granted = await limiter.reserve(GROUP, asks(*names(3, "n")), horizon_s=1.0)
    assert _all_near(await _waits(rig, granted), [0.1, 0.2, 0.3])


async def headers_lower_a_level_at_once(rig: LimiterRig) -> None:
    limiter = await _declared(rig, Limits(tokens_per_minute=6_000))
    await rig.advance(60.0)
    nothing_left = Observation(resource=Resource.TOKENS, limit=6_000.0, remaining=0.0, reset_s=None)
    await limiter.observe(GROUP, [nothing_left])
    assert _near((await _level(limiter, Resource.TOKENS)).available, 60.0, within=1.0)


async def headers_never_raise_a_level(rig: LimiterRig) -> None:
    limiter = await _declared(rig, Limits(requests_per_minute=600))
    before = (await _level(limiter, Resource.REQUESTS)).available
    await limiter.observe(GROUP, [_seen(limit=600.0, remaining=600.0)])
    assert _near((await _level(limiter, Resource.REQUESTS)).available, before)


async def a_lower_limit_holds_at_once_and_a_higher_one_after_three_samples(rig: LimiterRig) -> None:
    limiter = await _declared(rig, Limits(requests_per_minute=600))
    await limiter.observe(GROUP, [_seen(limit=60.0)])
    assert (await _level(limiter, Resource.REQUESTS)).limit == 60.0
    for limit in (5_000.0, 300.0, 5_000.0, 5_000.0):
        await limiter.observe(GROUP, [_seen(limit=limit)])
        assert (await _level(limiter, Resource.REQUESTS)).limit == 60.0
    await limiter.observe(GROUP, [_seen(limit=5_000.0)])
    assert (await _level(limiter, Resource.REQUESTS)).limit == 600.0  # never above the declared one


async def nonsense_in_headers_changes_nothing(rig: LimiterRig) -> None:
    limiter = await _declared(rig, Limits(requests_per_minute=600))
    before = await _level(limiter, Resource.REQUESTS)
    for limit, remaining in ((0.0, 0.0), (-1.0, -1.0), (float("nan"), None), (None, -1.0), (None, None)):
        await limiter.observe(GROUP, [_seen(limit=limit, remaining=remaining)])
    await limiter.observe(GROUP, [Observation(resource=Resource.OUTPUT_TOKENS, limit=1.0, remaining=0.0, reset_s=None)])
    after = await _level(limiter, Resource.REQUESTS)
    assert after.limit == before.limit
    assert _near(after.available, before.available)


async def a_limit_lowered_below_the_debt_keeps_one_minute_of_it(rig: LimiterRig) -> None:
    limiter = await _declared(rig, Limits(tokens_per_minute=60_000))
    await limiter.reserve(GROUP, asks("a", input_tokens=100_000), horizon_s=5.0)
    await rig.declare(GROUP, Limits(tokens_per_minute=600), rho=1.0)
    assert _near((await _level(limiter, Resource.TOKENS)).available, -600.0, within=1.0)


async def one_request_a_minute_starts_at_once_and_then_each_minute(rig: LimiterRig) -> None:
    limiter = await _declared(rig, Limits(requests_per_minute=1))
    granted = await limiter.reserve(GROUP, asks("a", "b", "c"), horizon_s=600.0)
    assert _all_near(await _waits(rig, granted), [0.0, 60.0, 120.0])


async def a_day_limit_allows_the_whole_day_at_once(rig: LimiterRig) -> None:
    limiter = await _declared(rig, Limits(requests_per_day=50))
    granted = await limiter.reserve(GROUP, asks(*names(51)), horizon_s=10.0)
    assert len(granted.grants) == 50
    assert granted.why == "requests_per_day"


async def groups_do_not_share(rig: LimiterRig) -> None:
    limiter = await _declared(rig, Limits(concurrency=1))
    await rig.declare("other", Limits(concurrency=1), rho=1.0)
    await limiter.reserve(GROUP, asks("a"), horizon_s=1.0)
    assert len((await limiter.reserve("other", asks("a"), horizon_s=1.0)).grants) == 1


async def an_undeclared_group_is_an_error(rig: LimiterRig) -> None:
    try:
        await rig.limiter.reserve("nobody", asks("a"), horizon_s=1.0)
    except KeyError:
        return
    raise AssertionError("reserve of an undeclared group must raise KeyError")


async def state_tells_use_of_the_last_minute(rig: LimiterRig) -> None:
    limiter = await _declared(rig, Limits(requests_per_minute=600, tokens_per_minute=60_000, concurrency=8))
    await limiter.reserve(GROUP, asks("a", "b", input_tokens=100, output_tokens=50), horizon_s=5.0)
    await _settle(limiter, Settled.USED, "a", actual=Charge(input_tokens=90, output_tokens=10))
    state = await limiter.state(GROUP)
    assert (state.in_flight, state.slots) == (1, 8)
    assert {level.resource: level.used for level in state.levels} == {Resource.REQUESTS: 2, Resource.TOKENS: 250}
    await rig.advance(61.0)
    assert [level.used for level in (await limiter.state(GROUP)).levels] == [0, 0]


def _seen(*, limit: float | None = None, remaining: float | None = None) -> Observation:
    return Observation(resource=Resource.REQUESTS, limit=limit, remaining=remaining, reset_s=None)


CASES: tuple[Callable[[LimiterRig], Awaitable[None]], ...] = (
    starts_are_spaced_by_the_rate,
    grants_are_a_prefix_within_the_horizon,
    asking_again_with_an_open_id_returns_the_first_grant,
    slots_bound_the_calls_in_flight,
    a_freed_slot_wakes_a_waiter_and_is_never_missed,
    a_job_above_the_burst_waits_for_a_full_bucket_and_leaves_debt,
    settling_with_less_gives_tokens_back_beyond_the_burst,
    settling_with_more_charges_the_rest,
    a_rejected_call_costs_its_request_only,
    a_call_that_was_never_started_costs_nothing,
    settling_twice_is_settling_once,
    a_pause_stops_the_group_and_work_resumes_spaced,
    a_shorter_pause_never_shortens_a_longer_one,
    grants_given_back_during_a_pause_are_no_burst_at_its_end,
    headers_lower_a_level_at_once,
    headers_never_raise_a_level,
    a_lower_limit_holds_at_once_and_a_higher_one_after_three_samples,
    nonsense_in_headers_changes_nothing,
    a_limit_lowered_below_the_debt_keeps_one_minute_of_it,
    one_request_a_minute_starts_at_once_and_then_each_minute,
    a_day_limit_allows_the_whole_day_at_once,
    groups_do_not_share,
    an_undeclared_group_is_an_error,
    state_tells_use_of_the_last_minute,
)
