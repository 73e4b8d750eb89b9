"""Whether there should be one process more or one fewer."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.account import Autoscale
from broker.domain.presence import Presence
from workers.autoscale import GROW_AFTER_S, SHRINK_AFTER_S, Step, Trend, decide

BOUNDS = Autoscale(min=1, max=4)


def a_report(
    *, in_flight: int = 8, slots: int | None = 8, waits_for: str | None = None, busy: float | None = 0.2
) -> Presence:
    return Presence(worker_id="w", account="a", in_flight=in_flight, slots=slots, waits_for=waits_for, busy=busy)


FULL = a_report()
IDLE = a_report(in_flight=1, waits_for="requests")


def after(
    seconds: float, reports: Sequence[Presence], *, work_waits: bool = True, processes: int | None = None
) -> Step:
    """The decision when it has looked like this for so long, every second."""
    trend, step = Trend(), Step.STAY
    for second in range(int(seconds) + 1):
        assert step is Step.STAY
        step, trend = decide(
            trend, BOUNDS, processes or len(reports), reports, work_waits=work_waits, now=1000.0 + second
        )
    return step


def test_full_slots_and_waiting_work_call_for_another_process() -> None:
    assert after(GROW_AFTER_S - 1, [FULL]) is Step.STAY
    assert after(GROW_AFTER_S, [FULL]) is Step.MORE


def test_so_does_a_busy_cpu() -> None:
    assert after(GROW_AFTER_S, [a_report(in_flight=3, busy=0.86)]) is Step.MORE
    assert after(GROW_AFTER_S, [a_report(in_flight=3, busy=0.85)]) is Step.STAY


@pytest.mark.parametrize("limit", ["requests", "tokens", "requests_per_day", "slots", "paused: rate_limited"])
def test_another_process_does_not_help_where_the_account_is_at_its_limit(limit: str) -> None:
    assert after(SHRINK_AFTER_S, [a_report(waits_for=limit)]) is Step.STAY
    assert after(GROW_AFTER_S, [FULL, a_report(waits_for=limit)]) is Step.STAY


def test_waiting_for_something_else_is_no_limit_of_the_account() -> None:
    assert after(GROW_AFTER_S, [a_report(waits_for="database: away")]) is Step.MORE


def test_no_process_is_added_when_nothing_waits() -> None:
    assert after(SHRINK_AFTER_S, [FULL], work_waits=False) is Step.STAY


def test_no_process_is_added_while_one_has_room() -> None:
    assert after(GROW_AFTER_S, [FULL, a_report(in_flight=7)]) is Step.STAY


def test_never_more_and_never_fewer_than_allowed() -> None:
    assert after(GROW_AFTER_S, [FULL] * 4) is Step.STAY
    assert after(SHRINK_AFTER_S, [IDLE]) is Step.STAY


def test_bounds_that_were_changed_are_obeyed_at_once() -> None:
    assert after(0, [], processes=5) is Step.FEWER
    assert decide(Trend(), Autoscale(min=2, max=4), 1, [], work_waits=False, now=0.0)[0] is Step.MORE


def test_a_process_goes_when_the_limit_has_left_it_idle_for_a_minute() -> None:
    assert after(SHRINK_AFTER_S - 1, [IDLE, IDLE]) is Step.STAY
    assert after(SHRINK_AFTER_S, [IDLE, IDLE]) is Step.FEWER


def test_a_process_goes_when_there_is_no_work() -> None:
    idle = a_report(in_flight=0, busy=0.0)
    assert after(SHRINK_AFTER_S, [idle, idle], work_waits=False) is Step.FEWER
    assert after(SHRINK_AFTER_S, [idle, idle], work_waits=True) is Step.STAY


def test_no_process_goes_that_the_others_could_not_replace() -> None:
    at_limit = a_report(in_flight=3, waits_for="tokens")  # 6 of the 8 slots that would be left
    assert after(SHRINK_AFTER_S, [at_limit, at_limit]) is Step.STAY
    working = a_report(in_flight=1, busy=0.5, waits_for="tokens")
    assert after(SHRINK_AFTER_S, [working, working]) is Step.STAY


def test_a_moment_of_another_picture_starts_the_time_again() -> None:
    _, trend = decide(Trend(), BOUNDS, 1, [FULL], work_waits=True, now=0.0)
    _, trend = decide(trend, BOUNDS, 1, [a_report(in_flight=2)], work_waits=True, now=9.0)
    step, trend = decide(trend, BOUNDS, 1, [FULL], work_waits=True, now=GROW_AFTER_S)
    assert step is Step.STAY
    assert decide(trend, BOUNDS, 1, [FULL], work_waits=True, now=2 * GROW_AFTER_S)[0] is Step.MORE


def test_nothing_is_decided_before_every_process_has_reported() -> None:
    silent = a_report(slots=None, busy=None)
    assert after(SHRINK_AFTER_S, [FULL, silent]) is Step.STAY
    assert after(SHRINK_AFTER_S, [FULL], processes=2) is Step.STAY


def test_after_a_step_the_time_begins_anew() -> None:
    _, trend = decide(Trend(), BOUNDS, 1, [FULL], work_waits=True, now=0.0)
    step, trend = decide(trend, BOUNDS, 1, [FULL], work_waits=True, now=GROW_AFTER_S)
    assert (step, trend) == (Step.MORE, Trend())


@given(
    in_flight=st.lists(st.integers(0, 8), min_size=2, max_size=6),
    busy=st.floats(0, 1),
    waits_for=st.sampled_from([None, "requests", "paused: overloaded"]),
    work_waits=st.booleans(),
)
def test_what_calls_for_one_fewer_never_calls_for_one_more_afterwards(
    in_flight: list[int], busy: float, waits_for: str | None, work_waits: bool
) -> None:
    """The same load on one process fewer: no swinging to and fro."""
    bounds = Autoscale(min=1, max=8)
    reports = [a_report(in_flight=number, busy=busy, waits_for=waits_for) for number in in_flight]
    long_idle = Trend(idle_since=0.0)
    step, _ = decide(long_idle, bounds, len(reports), reports, work_waits=work_waits, now=SHRINK_AFTER_S)
    if step is not Step.FEWER:
        return
    fewer = len(reports) - 1
    share, rest = divmod(sum(in_flight), fewer)
    left = [
        a_report(in_flight=share + (number < rest), busy=min(1.0, busy * len(reports) / fewer))
        for number in range(fewer)
    ]
    again, _ = decide(Trend(short_since=0.0), bounds, fewer, left, work_waits=True, now=SHRINK_AFTER_S)
    assert again is not Step.MORE
