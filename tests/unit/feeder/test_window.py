import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.feeder.window import LOCAL_SECONDS, QUEUE_SECONDS, RateMeter, packing, target


def test_a_queue_holds_three_seconds_of_the_recent_rate() -> None:
    assert target(rate_per_s=100, free_slots=10, seconds=QUEUE_SECONDS) == 300


def test_a_local_window_holds_a_fifth_of_a_second() -> None:
    assert target(rate_per_s=100, free_slots=10, seconds=LOCAL_SECONDS) == 20


def test_no_consumer_is_left_without_a_job_to_hold() -> None:
    assert target(rate_per_s=0.1, free_slots=64, seconds=LOCAL_SECONDS, allowed_per_s=0.1, consumers=4) == 4


def test_free_slots_are_filled_before_anything_has_completed() -> None:
    assert target(rate_per_s=0, free_slots=64) == 64


def test_free_slots_ask_for_no_more_than_the_limits_let_start() -> None:
    assert target(rate_per_s=0, free_slots=256, seconds=LOCAL_SECONDS, allowed_per_s=100) == 20


def test_a_window_is_never_shut() -> None:
    assert target(rate_per_s=0, free_slots=0) == 1
    assert target(rate_per_s=0.01, free_slots=0, allowed_per_s=0.0) == 1
    assert target(rate_per_s=-1, free_slots=-1, allowed_per_s=-1) == 1


def test_unlimited_starts_are_no_bound() -> None:
    assert target(rate_per_s=0, free_slots=7, allowed_per_s=math.inf) == 7


@given(
    rate=st.floats(0, 1e5),
    slots=st.integers(0, 10_000),
    seconds=st.floats(0.01, 10),
    allowed=st.none() | st.floats(0, 1e5),
)
def test_a_window_is_the_recent_rate_or_fills_the_slots(
    rate: float, slots: int, seconds: float, allowed: float | None
) -> None:
    held = target(rate_per_s=rate, free_slots=slots, seconds=seconds, allowed_per_s=allowed)

    assert rate * seconds <= held <= max(1, math.ceil(rate * seconds), slots)


def test_a_steady_rate_is_met_early_and_kept() -> None:
    meter = RateMeter(now=100.0)
    for tick in range(1, 1_001):
        now = 100.0 + tick / 50
        meter.add(1, now=now)
        if tick >= 50:
            assert meter.rate(now=now) == pytest.approx(50, rel=0.05)


def test_a_rate_fades_when_nothing_completes() -> None:
    meter = RateMeter(now=0.0, memory_s=3.0)
    for tick in range(1, 601):
        meter.add(1, now=tick / 20)

    assert meter.rate(now=33.0) == pytest.approx(20 / math.e, rel=0.05)
    assert meter.rate(now=1_000.0) < 1e-6


def test_a_first_completion_is_no_rate_of_thousands() -> None:
    meter = RateMeter(now=0.0, memory_s=3.0)
    meter.add(1, now=0.0)

    assert meter.rate(now=0.0) < 4


def test_nothing_completed_is_a_rate_of_zero() -> None:
    assert RateMeter(now=5.0).rate(now=5.0) == 0.0


def test_a_clock_that_steps_back_changes_nothing() -> None:
    meter = RateMeter(now=10.0)
    meter.add(30, now=12.0)
    before = meter.rate(now=12.0)

    assert meter.rate(now=3.0) == before


@pytest.mark.parametrize("memory_s", [0.0, -1.0, math.inf, math.nan])
def test_a_memory_must_be_positive_and_finite(memory_s: float) -> None:
    with pytest.raises(ValueError, match="memory"):
        RateMeter(now=0.0, memory_s=memory_s)


@pytest.mark.parametrize(
    ("per_worker_s", "left", "size"),
    [
        (5.0, 10_000, 1),  # slow: a job each
        (100.0, 10_000, 10),  # what one starts in a tenth of a second
        (4_000.0, 10_000, 32),
        (4_000.0, 40, 10),  # the tail: a quarter of what each will still get
        (4_000.0, 3, 1),
        (0.0, 10_000, 1),  # nothing has come back yet
    ],
)
def test_turns_are_as_large_as_their_workers_are_fast(per_worker_s: float, left: int, size: int) -> None:
    assert packing(per_worker_s=per_worker_s, most=32, left=left) == size
