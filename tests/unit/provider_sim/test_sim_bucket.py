import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.provider_sim.bucket import Bucket


def a_bucket(per_minute: float = 60.0, window_s: float = 10.0, *, full: bool = True) -> Bucket:
    return Bucket(per_minute=per_minute, window_s=window_s, now=0.0, full=full)


def test_a_full_bucket_holds_what_its_rate_gives_in_the_window() -> None:
    assert a_bucket().level(0.0) == 10.0


def test_an_empty_bucket_fills_at_its_rate_and_never_beyond_its_capacity() -> None:
    bucket = a_bucket(full=False)
    assert bucket.level(4.0) == 4.0
    assert bucket.level(1000.0) == 10.0


def test_waiting_as_long_as_told_is_long_enough() -> None:
    bucket = a_bucket()
    bucket.take(10.0, 0.0)
    wait_s = bucket.wait_for(2.5, 0.0)
    assert wait_s == pytest.approx(2.5)
    assert bucket.wait_for(2.5, wait_s) == 0.0


def test_more_than_the_bucket_holds_is_admitted_when_it_is_full_and_leaves_debt() -> None:
    bucket = a_bucket()
    assert bucket.wait_for(25.0, 0.0) == 0.0
    bucket.take(25.0, 0.0)
    assert bucket.level(0.0) == -15.0


def test_time_that_goes_back_changes_nothing() -> None:
    bucket = a_bucket()
    bucket.take(5.0, 10.0)
    assert bucket.level(3.0) == 5.0


def test_hammering_digs_no_deeper_than_one_capacity() -> None:
    bucket = a_bucket()
    for _ in range(100):
        bucket.penalise(1.0, 0.0)
    assert bucket.level(0.0) == -10.0


@given(
    takes=st.lists(st.tuples(st.floats(0, 5), st.floats(0, 3)), max_size=60),
    window_s=st.floats(0.5, 60),
)
def test_what_is_admitted_never_exceeds_burst_plus_rate_times_time(
    takes: list[tuple[float, float]], window_s: float
) -> None:
    bucket, now, taken = a_bucket(per_minute=120.0, window_s=window_s), 0.0, 0.0
    for pause, amount in takes:
        now += pause
        fits = min(amount, bucket.capacity)
        if bucket.wait_for(fits, now) == 0.0:
            bucket.take(fits, now)
            taken += fits
    assert taken <= bucket.capacity + 2.0 * now + 1e-3
