"""Mapping a server's clock to ours, from replies of all speeds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.limits.server_clock import ServerClock

DELAYS = st.floats(min_value=0.0, max_value=0.25)


def test_a_moment_of_the_server_is_translated_into_ours() -> None:
    clock = ServerClock()
    clock.learn(asked=10.0, came=10.2, server=1_000.1)
    assert clock.here(1_000.1) == pytest.approx(10.1)
    assert clock.ahead == 990.0


def test_the_quickest_reply_is_believed() -> None:
    clock = ServerClock()
    clock.learn(asked=10.0, came=10.002, server=1_010.001)
    clock.learn(asked=11.0, came=11.2, server=1_011.19)  # slow, and late on its way there
    assert clock.ahead == 1_000.0


def test_a_clock_that_was_set_is_followed() -> None:
    clock = ServerClock()
    clock.learn(asked=10.0, came=10.002, server=1_010.001)
    clock.learn(asked=11.0, came=11.004, server=5_011.002)
    assert abs(clock.ahead - 5_000.0) <= 0.004


@given(true_offset=st.floats(min_value=-1e6, max_value=1e6), delays=st.lists(st.tuples(DELAYS, DELAYS), min_size=1))
def test_the_error_is_at_most_half_of_the_quickest_reply(true_offset: float, delays: list[tuple[float, float]]) -> None:
    clock, now = ServerClock(), 1_000.0
    for there, back in delays:
        clock.learn(asked=now, came=now + there + back, server=now + there + true_offset)
        now += there + back + 0.1
    quickest = min(there + back for there, back in delays)
    assert abs(clock.ahead - true_offset) <= quickest / 2 + 1e-6
