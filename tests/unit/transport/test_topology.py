"""Names of queues: one per route, whatever a route is called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.transport.rabbitmq.topology import QUEUE_ARGUMENTS, Topology

_AWKWARD = st.text(st.sampled_from("ab.~%@é/ \x00") | st.characters(), max_size=12)
_ROUTES = _AWKWARD | st.builds(lambda route: route + ".interactive", _AWKWARD) | st.text(min_size=200, max_size=400)


@given(st.lists(_ROUTES, min_size=2, max_size=2, unique=True))
def test_two_routes_never_share_a_queue(routes: list[str]) -> None:
    first, second = (set(Topology(prefix="p.").queues(route)) for route in routes)
    assert len(first) == len(second) == 2
    assert first.isdisjoint(second)


@given(_ROUTES)
def test_a_name_is_short_enough_for_the_protocol_and_plain(route: str) -> None:
    for queue in Topology(prefix="p" * 64).queues(route):
        assert len(queue.encode()) <= 255
        assert queue.isascii()
        assert queue.isprintable()


def test_an_ordinary_route_can_be_read_in_its_queue() -> None:
    assert Topology().ready("gpt-4.1-mini@azure-eu-1") == "ready.gpt-4.1-mini@azure-eu-1"
    assert Topology().ready("gpt-5-mini", interactive=True) == "ready.gpt-5-mini.interactive"
    assert Topology(prefix="blue.").ready("m") == "blue.ready.m"
    assert Topology().ready("m@home+use:non-commercial") == "ready.m@home+use:non-commercial"


def test_long_routes_with_the_same_beginning_differ() -> None:
    topology = Topology()
    assert topology.ready("m" * 300 + "a") != topology.ready("m" * 300 + "b")


def test_a_prefix_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(ValueError, match="prefix"):
        Topology(prefix="p" * 65)
    with pytest.raises(ValueError, match="prefix"):
        Topology(prefix="é")


def test_queues_are_quorum_queues_with_an_explicit_limit_and_nothing_that_ends_a_turn_in_silence() -> None:
    assert QUEUE_ARGUMENTS["x-queue-type"] == "quorum"
    assert int(QUEUE_ARGUMENTS["x-delivery-limit"]) >= 100
    assert QUEUE_ARGUMENTS.keys() <= {"x-queue-type", "x-delivery-limit", "x-overflow"}
