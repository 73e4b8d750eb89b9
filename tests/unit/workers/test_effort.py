"""How hard a process works is told since it was asked before."""

from broker.testing.manual_clock import ManualClock
from workers.effort import Effort


def test_the_share_is_of_the_time_since_the_last_call() -> None:
    clock, used = ManualClock(), [10.0]
    effort = Effort(clock, lambda: used[0])
    clock.advance(5.0)
    used[0] += 2.0
    assert effort.share() == 0.4
    clock.advance(5.0)
    assert effort.share() == 0.0


def test_no_time_is_no_share() -> None:
    assert Effort(ManualClock(), lambda: 1.0).share() == 0.0
