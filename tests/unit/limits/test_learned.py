"""What headers teach a bucket, beyond the contract: calls under way, and stale headers."""

import pytest

from broker.domain.account import Limits
from broker.limits.bucket import Bucket
from broker.limits.learned import Learner
from broker.limits.port import Ask, Charge, Observation, Resource

CALL = Charge(input_tokens=1000)


def seen(remaining: float, limit: float | None = None) -> list[Observation]:
    return [Observation(resource=Resource.TOKENS, limit=limit, remaining=remaining, reset_s=None)]


def a_bucket(calls: int) -> Bucket:
    """60,000 tokens a minute with a full burst of 1,000 and `calls` of 1,000 granted, from second 60 on."""
    bucket = Bucket(Limits(tokens_per_minute=60_000), 0.0, rho=1.0)
    bucket.elapse(60.0)
    bucket.reserve(60.0, [Ask(reservation_id=str(call), need=CALL) for call in range(calls)], horizon_s=60.0)
    return bucket


def tokens(bucket: Bucket) -> float:
    tank = bucket.tank(Resource.TOKENS)
    assert tank is not None
    return tank.level


def test_calls_started_later_than_the_answered_one_are_not_in_what_remains() -> None:
    bucket = a_bucket(calls=3)  # they start at 60, 61 and 62
    bucket.elapse(63.0)
    assert tokens(bucket) == pytest.approx(1000.0)
    Learner().observe(bucket, 63.0, seen(remaining=0.0), sent_at=61.5)
    # Nothing was left then, one more call came, a second and a half has refilled, and 1 % is slack.
    assert tokens(bucket) == pytest.approx(0.0 - 1000.0 + 1500.0 + 600.0, abs=101.0)


def test_the_same_shortfall_told_twice_counts_once() -> None:
    bucket, learner = a_bucket(calls=0), Learner()
    learner.observe(bucket, 60.0, seen(remaining=100.0), sent_at=60.0)
    once = tokens(bucket)
    learner.observe(bucket, 60.0, seen(remaining=100.0), sent_at=60.0)
    assert tokens(bucket) == once == pytest.approx(700.0)


def test_a_long_call_does_not_brake_with_its_stale_headers() -> None:
    bucket = a_bucket(calls=0)
    before = tokens(bucket)
    Learner().observe(bucket, 90.0, seen(remaining=0.0), sent_at=60.0)
    assert tokens(bucket) == before


def test_many_calls_in_flight_do_not_brake_a_server_that_has_admitted_them() -> None:
    bucket = a_bucket(calls=50)
    bucket.elapse(110.0)  # all have started; a full second has passed since the last
    before = tokens(bucket)
    Learner().observe(bucket, 110.0, seen(remaining=1000.0), sent_at=109.9)
    assert tokens(bucket) == before


def test_a_lower_limit_slows_the_rate_at_once() -> None:
    bucket = a_bucket(calls=0)
    Learner().observe(bucket, 60.0, seen(remaining=6000.0, limit=6000.0), sent_at=60.0)
    tank = bucket.tank(Resource.TOKENS)
    assert tank is not None
    assert (tank.rate, tank.declared) == (100.0, 60_000)


def test_equal_samples_must_follow_each_other() -> None:
    bucket, learner = a_bucket(calls=0), Learner()
    tank = bucket.tank(Resource.TOKENS)
    assert tank is not None
    for limit in (600.0, 900.0, 900.0, 600.0, 900.0, 900.0):
        learner.observe(bucket, 60.0, seen(remaining=600.0, limit=limit), sent_at=60.0)
    assert tank.limit == 600.0
    learner.observe(bucket, 60.0, seen(remaining=600.0, limit=900.0), sent_at=60.0)
    assert tank.limit == 900.0
