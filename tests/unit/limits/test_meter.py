"""The charge of the last minute."""

from broker.limits.meter import Meter


def test_charges_leave_after_a_minute() -> None:
    meter = Meter()
    meter.add(10.2, 1, 100, 10)
    meter.add(10.9, 1, 100, 10)
    meter.add(40.0, 1, 5, 5)
    assert meter.sums(69.9) == (3, 205, 25)
    assert meter.sums(70.0) == (1, 5, 5)


def test_a_bin_is_used_again_a_minute_later() -> None:
    meter = Meter()
    meter.add(5.0, 1, 100, 10)
    meter.add(65.0, 1, 1, 1)
    assert meter.sums(65.0) == (1, 1, 1)


def test_refunds_of_older_charges_never_show_as_negative_use() -> None:
    meter = Meter()
    meter.add(5.0, 0, -100, -10)
    assert meter.sums(5.0) == (0, 0, 0)


def test_nothing_was_used_at_the_start() -> None:
    assert Meter().sums(0.0) == (0, 0, 0)
