"""Jobs that wait, from turns that wait."""

from broker.transport.rabbitmq.counts import QueueCount
from broker.transport.rabbitmq.timings import Timings

TIMINGS = Timings(count=0.2, empty_count=2.0)


def a_count(*sizes: int) -> QueueCount:
    count = QueueCount(TIMINGS)
    for jobs in sizes:
        count.add(jobs)
    return count


def test_the_turns_that_wait_are_the_last_ones_published() -> None:
    count = a_count(32, 32, 5, 1)
    count.looked(2, published=4, now=0.0)
    assert count.jobs == 6


def test_what_is_published_after_the_look_is_added() -> None:
    count = a_count(4)
    count.looked(1, published=1, now=0.0)
    count.add(3)
    assert count.jobs == 7


def test_what_is_published_during_the_look_counts_at_least_once() -> None:
    count = a_count(4)
    published = count.published
    count.add(3)
    count.looked(1, published=published, now=0.0)
    assert count.jobs >= 7 - 4 + 3


def test_turns_of_others_are_taken_to_be_like_ours() -> None:
    count = a_count(8, 8)
    count.looked(4, published=2, now=0.0)
    assert count.jobs == 32
    unknown = a_count()
    unknown.looked(3, published=0, now=0.0)
    assert unknown.jobs == 3


def test_a_look_is_good_for_a_moment_and_at_an_idle_queue_for_longer() -> None:
    count = a_count()
    assert not count.fresh(0.0)
    count.looked(0, published=0, now=10.0)
    assert count.fresh(11.9)
    assert not count.fresh(12.0)
    count.add(1)
    assert count.fresh(10.1)
    assert not count.fresh(10.2)
