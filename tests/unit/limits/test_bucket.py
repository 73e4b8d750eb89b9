"""The bucket of one limit group, by its laws and its corners."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.account import Limits
from broker.limits.bucket import Bucket
from broker.limits.port import Ask, Charge, Grant, Resource, Settled, Settlement

RATES = st.floats(min_value=0.2, max_value=1e6)
SIZES = st.floats(min_value=0.0, max_value=1e5)
NEEDS = st.builds(lambda i, o: Charge(input_tokens=i, output_tokens=o), SIZES, SIZES)
STEPS = st.lists(
    st.tuples(st.floats(min_value=0.0, max_value=20.0), st.lists(NEEDS, min_size=1, max_size=5)),
    min_size=1,
    max_size=15,
)
HORIZONS = st.floats(min_value=0.0, max_value=5.0)
AMOUNTS: dict[Resource, Callable[[Charge], float]] = {
    Resource.REQUESTS: lambda need: need.requests,
    Resource.TOKENS: lambda need: need.input_tokens + need.output_tokens,
    Resource.INPUT_TOKENS: lambda need: need.input_tokens,
    Resource.OUTPUT_TOKENS: lambda need: need.output_tokens,
}


def an_ask(name: str, input_tokens: float = 0.0, output_tokens: float = 0.0) -> Ask:
    return Ask(reservation_id=name, need=Charge(input_tokens=input_tokens, output_tokens=output_tokens))


def settled(how: Settled, *names: str, actual: Charge | None = None) -> list[Settlement]:
    return [Settlement(reservation_id=name, how=how, actual=actual) for name in names]


def level(bucket: Bucket, resource: Resource) -> float:
    tank = bucket.tank(resource)
    assert tank is not None
    return tank.level


def drive(
    bucket: Bucket, steps: list[tuple[float, list[Charge]]], horizon_s: float
) -> list[tuple[float, Charge, Grant]]:
    """Time of asking, need and grant of everything that was granted."""
    now, count, found = 0.0, 0, []
    for pause, needs in steps:
        now += pause
        asks = []
        for need in needs:
            asks.append(Ask(reservation_id=str(count), need=need))
            count += 1
        granted = bucket.reserve(now, asks, horizon_s=horizon_s)
        found += [(now, ask.need, grant) for ask, grant in zip(asks, granted.grants, strict=False)]
    return found


@given(RATES, RATES, RATES, STEPS, HORIZONS)
def test_no_window_takes_more_than_its_rate_a_burst_and_one_job(
    rpm: float, itpm: float, otpm: float, steps: list[tuple[float, list[Charge]]], horizon_s: float
) -> None:
    limits = Limits(requests_per_minute=rpm, input_tokens_per_minute=itpm, output_tokens_per_minute=otpm)
    bucket = Bucket(limits, 0.0, rho=1.0)
    found = drive(bucket, steps, horizon_s)
    for tank in bucket.tanks:
        amount = AMOUNTS[tank.resource]
        starts = sorted((grant.start_at, amount(need)) for _, need, grant in found)
        for first in range(len(starts)):
            total = largest = 0.0
            for start, need in starts[first:]:
                total += need
                largest = max(largest, need)
                allowed = tank.rate * (start - starts[first][0]) + tank.burst + largest
                assert total <= allowed * (1 + 1e-6) + 1e-3


@given(RATES, STEPS, HORIZONS)
def test_starts_lie_within_the_horizon_and_keep_the_order_of_asking(
    tpm: float, steps: list[tuple[float, list[Charge]]], horizon_s: float
) -> None:
    bucket = Bucket(Limits(tokens_per_minute=tpm), 0.0)
    found = [(now, grant) for now, need, grant in drive(bucket, steps, horizon_s) if AMOUNTS[Resource.TOKENS](need)]
    starts = [grant.start_at for _, grant in found]
    assert all(earlier <= later + 1e-6 for earlier, later in pairwise(starts))
    assert all(now <= grant.start_at <= now + horizon_s for now, grant in found)


@given(RATES, RATES, NEEDS, HORIZONS, st.integers(min_value=1, max_value=4))
def test_no_need_waits_for_ever(rpm: float, tpm: float, need: Charge, horizon_s: float, jobs: int) -> None:
    bucket = Bucket(Limits(requests_per_minute=rpm, tokens_per_minute=tpm), 0.0)
    now = 0.0
    for job in range(jobs):
        for _ in range(3):
            granted = bucket.reserve(now, [Ask(reservation_id=str(job), need=need)], horizon_s=horizon_s)
            if granted.grants:
                break
            assert granted.retry_in is not None
            now += granted.retry_in
        assert granted.grants


@given(RATES, st.lists(NEEDS, min_size=1, max_size=8), HORIZONS)
def test_giving_everything_back_restores_the_level(tpm: float, needs: list[Charge], horizon_s: float) -> None:
    bucket = Bucket(Limits(tokens_per_minute=tpm), 0.0)
    asks = [Ask(reservation_id=str(index), need=need) for index, need in enumerate(needs)]
    granted = bucket.reserve(0.0, asks, horizon_s=horizon_s)
    taken = sum(AMOUNTS[Resource.TOKENS](ask.need) for ask in asks[: len(granted.grants)])
    assert level(bucket, Resource.TOKENS) + taken == pytest.approx(0.0, abs=1e-3)
    assert AMOUNTS[Resource.TOKENS](bucket.outstanding) == pytest.approx(taken)
    bucket.settle(0.0, settled(Settled.NOT_STARTED, *(grant.reservation_id for grant in granted.grants)))
    assert level(bucket, Resource.TOKENS) == pytest.approx(0.0, abs=1e-3)
    assert bucket.outstanding == Charge(requests=0.0)


@given(NEEDS, NEEDS, st.sampled_from(Settled))
def test_settling_twice_is_settling_once(need: Charge, actual: Charge, how: Settled) -> None:
    bucket = Bucket(Limits(requests_per_minute=60, tokens_per_minute=1000), 0.0)
    bucket.reserve(0.0, [Ask(reservation_id="a", need=need)], horizon_s=60.0)
    bucket.settle(1.0, settled(how, "a", actual=actual))
    once = bucket.state(1.0)
    bucket.settle(1.0, settled(how, "a", actual=actual))
    assert bucket.state(1.0) == once


@given(st.lists(st.floats(min_value=0.0, max_value=100.0), min_size=1, max_size=6))
def test_pauses_only_grow(hints: list[float]) -> None:
    bucket = Bucket(Limits(requests_per_minute=600), 0.0)
    for hint_s in hints:
        bucket.throttle(0.0, hint_s=hint_s, resource=None, reason="rate_limited")
    assert bucket.state(0.0).paused_for_s == max(hints)


def test_an_idle_group_saves_up_half_a_second_of_requests_and_no_more() -> None:
    bucket = Bucket(Limits(requests_per_minute=6000), 0.0, rho=1.0)
    asks = [an_ask(str(index)) for index in range(150)]
    assert len(bucket.reserve(3600.0, asks, horizon_s=0.0).grants) == 50


def test_an_idle_group_saves_up_a_second_of_tokens() -> None:
    bucket = Bucket(Limits(tokens_per_minute=6000), 0.0, rho=1.0)
    bucket.elapse(3600.0)
    assert level(bucket, Resource.TOKENS) == 100.0


def test_a_cold_group_has_one_request_and_no_tokens() -> None:
    bucket = Bucket(Limits(requests_per_minute=6000, tokens_per_minute=6000), 0.0, rho=1.0)
    assert level(bucket, Resource.REQUESTS) == 1.0
    assert level(bucket, Resource.TOKENS) == 0.0


def test_rho_is_the_share_of_the_limit_to_pace_at() -> None:
    bucket = Bucket(Limits(requests_per_minute=60), 0.0, rho=0.5)
    granted = bucket.reserve(0.0, [an_ask("a"), an_ask("b")], horizon_s=10.0)
    assert [grant.start_at for grant in granted.grants] == pytest.approx([0.0, 2.0])


def test_a_fifth_of_a_request_a_minute_is_one_each_five_minutes() -> None:
    bucket = Bucket(Limits(requests_per_minute=0.2), 0.0, rho=1.0)
    granted = bucket.reserve(0.0, [an_ask("a"), an_ask("b")], horizon_s=1000.0)
    assert [grant.start_at for grant in granted.grants] == pytest.approx([0.0, 300.0])


def test_the_tightest_resource_decides() -> None:
    limits = Limits(requests_per_minute=6000, input_tokens_per_minute=60_000, output_tokens_per_minute=600)
    granted = Bucket(limits, 0.0, rho=1.0).reserve(
        0.0, [an_ask("a", 100, 10), an_ask("b", 100, 10), an_ask("c", 100, 10)], horizon_s=2.5
    )
    assert [grant.start_at for grant in granted.grants] == pytest.approx([1.0, 2.0])
    assert granted.why == "output_tokens"


def test_a_job_that_needs_nothing_of_the_exhausted_resource_may_pass() -> None:
    bucket = Bucket(Limits(input_tokens_per_minute=60_000, output_tokens_per_minute=600), 0.0, rho=1.0)
    bucket.elapse(10.0)
    bucket.reserve(10.0, [an_ask("long", 10, 1000)], horizon_s=0.0)
    assert len(bucket.reserve(10.0, [an_ask("embedding", 10, 0)], horizon_s=0.0).grants) == 1


def test_what_waits_for_tokens_saves_up_no_requests_beyond_the_burst() -> None:
    bucket = Bucket(Limits(requests_per_minute=600, tokens_per_minute=600), 0.0, rho=1.0)
    bucket.elapse(100.0)
    bucket.reserve(100.0, [an_ask("a", 10), an_ask("b", 50)], horizon_s=5.0)
    bucket.elapse(105.0)
    assert level(bucket, Resource.REQUESTS) <= 10.0


def test_a_request_given_back_fills_no_more_than_the_burst() -> None:
    bucket = Bucket(Limits(requests_per_minute=60), 0.0)
    bucket.reserve(0.0, [an_ask("a")], horizon_s=0.0)
    bucket.settle(100.0, settled(Settled.NOT_STARTED, "a"))
    assert level(bucket, Resource.REQUESTS) == 1.0


def test_refunded_surplus_outlasts_the_refill() -> None:
    bucket = Bucket(Limits(tokens_per_minute=6000), 0.0, rho=1.0)
    bucket.reserve(0.0, [an_ask("a", 400)], horizon_s=1.0)
    bucket.settle(60.0, settled(Settled.USED, "a", actual=Charge(input_tokens=200)))
    bucket.elapse(120.0)
    assert level(bucket, Resource.TOKENS) == pytest.approx(300.0)


def test_a_clock_that_goes_back_refills_nothing() -> None:
    bucket = Bucket(Limits(requests_per_minute=60), 1000.0, rho=1.0)
    bucket.reserve(1000.0, [an_ask("a")], horizon_s=0.0)
    assert not bucket.reserve(500.0, [an_ask("b")], horizon_s=0.0).grants
    assert bucket.reserve(501.0, [an_ask("b")], horizon_s=0.0).grants


def test_a_clock_that_goes_back_leaves_a_pause_as_long_as_it_was() -> None:
    bucket = Bucket(Limits(requests_per_minute=60), 1000.0)
    bucket.throttle(1000.0, hint_s=7.0, resource=None, reason="rate_limited")
    assert bucket.state(500.0).paused_for_s == 7.0


def test_a_short_pause_does_not_spend_the_day() -> None:
    bucket = Bucket(Limits(requests_per_minute=60, requests_per_day=1000), 0.0, rho=1.0)
    bucket.throttle(0.0, hint_s=5.0, resource=Resource.REQUESTS, reason="rate_limited")
    assert level(bucket, Resource.REQUESTS_PER_DAY) == 1000.0


def test_a_violated_day_limit_resumes_at_the_rate_of_a_day() -> None:
    bucket = Bucket(Limits(requests_per_day=864), 0.0, rho=1.0)
    bucket.throttle(0.0, hint_s=3600.0, resource=Resource.REQUESTS_PER_DAY, reason="daily_quota")
    granted = bucket.reserve(3600.0, [an_ask("a"), an_ask("b")], horizon_s=1000.0)
    assert [grant.start_at - 3600.0 for grant in granted.grants] == pytest.approx([100.0, 200.0])


def test_a_day_limit_of_a_thousand_million_tokens_stays_exact() -> None:
    bucket = Bucket(Limits(tokens_per_day=1e9), 0.0, rho=1.0)
    for index in range(100):
        bucket.reserve(0.0, [an_ask(str(index), 1.0)], horizon_s=0.0)
    assert level(bucket, Resource.TOKENS_PER_DAY) == pytest.approx(1e9 - 100, abs=1e-3)


def test_a_hint_of_zero_or_less_takes_the_saved_burst_only() -> None:
    bucket = Bucket(Limits(requests_per_minute=600), 0.0, rho=1.0)
    bucket.throttle(60.0, hint_s=-5.0, resource=None, reason="rate_limited")
    assert level(bucket, Resource.REQUESTS) == 0.0
    assert bucket.state(60.0).paused_for_s == 0.0


def test_declaring_again_keeps_levels_and_reservations() -> None:
    bucket = Bucket(Limits(requests_per_minute=60, concurrency=8), 0.0, rho=1.0)
    bucket.reserve(0.0, [an_ask("a")], horizon_s=0.0)
    bucket.declare(Limits(requests_per_minute=60, tokens_per_minute=600, concurrency=1), 0.0, rho=1.0)
    assert level(bucket, Resource.REQUESTS) == 0.0
    assert bucket.reserve(5.0, [an_ask("b")], horizon_s=0.0).why == "slots"
    assert bucket.tank(Resource.TOKENS) is not None


def test_a_group_without_limits_grants_at_once() -> None:
    granted = Bucket(Limits(), 0.0).reserve(0.0, [an_ask(str(index), 1e9) for index in range(100)], horizon_s=0.0)
    assert {grant.start_at for grant in granted.grants} == {0.0}
    assert len(granted.grants) == 100


@pytest.mark.parametrize(
    "limits",
    [
        Limits(requests_per_minute=0),
        Limits(tokens_per_minute=-1),
        Limits(requests_per_day=float("nan")),
        Limits(tokens_per_day=float("inf")),
        Limits(concurrency=0),
    ],
)
def test_a_limit_that_allows_nothing_is_an_error(limits: Limits) -> None:
    with pytest.raises(ValueError, match=r"must be above zero|at least one"):
        Bucket(limits, 0.0)


@pytest.mark.parametrize("rho", [0.0, 1.01, float("nan")])
def test_rho_beyond_its_range_is_an_error(rho: float) -> None:
    with pytest.raises(ValueError, match="rho"):
        Bucket(Limits(requests_per_minute=1), 0.0, rho=rho)
