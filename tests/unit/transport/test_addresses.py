"""Names that other programs use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.transport.public.addresses import Addresses

NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)


def test_everything_is_under_the_prefix() -> None:
    addresses = Addresses.under("p.")
    assert addresses.submit == "p.penstock.submit"
    assert addresses.quarantine == "p.penstock.quarantine"
    assert addresses.results("lab", "feed") == "p.penstock.results.lab.feed"


@pytest.mark.parametrize("queue", ["p.penstock.submit", "p.penstock.results.lab.feed", "p.ready.judge"])
def test_queues_of_ours_are_known(queue: str) -> None:
    assert Addresses.under("p.").is_internal(queue)
    assert not Addresses.under("other.").is_internal(queue)


@given(st.tuples(st.text(min_size=1), NAMES), st.tuples(st.text(min_size=1), NAMES))
def test_no_two_subscriptions_share_a_queue(one: tuple[str, str], other: tuple[str, str]) -> None:
    addresses = Addresses.under("p" * 64)
    first, second = addresses.results(*one), addresses.results(*other)
    assert (first == second) == (one == other)
    assert len(first.encode()) <= 255
    assert first.isascii()


def test_a_dot_in_a_project_is_no_border() -> None:
    addresses = Addresses.under("")
    assert addresses.results("a.b", "c") == "penstock.results.a%2Eb.c"


def test_long_projects_that_begin_alike_differ() -> None:
    addresses = Addresses.under("")
    assert addresses.results("x" * 300, "n") != addresses.results("x" * 301, "n")
