from collections import Counter

import pytest

from workers.provider_sim.chance import draw
from workers.provider_sim.config import FaultsConfig
from workers.provider_sim.fault_kinds import ALWAYS_PAID, FAMILY, MAY_BE_PAID, FaultKind
from workers.provider_sim.faults import FaultPlan


def a_plan(**config: object) -> FaultPlan:
    return FaultPlan(FaultsConfig.model_validate(config))


def test_faults_come_as_often_as_configured() -> None:
    plan = a_plan(probability={"hang": 0.1, "server_error": 0.2})
    dealt = Counter(plan.choose(draw(3, identity, 0).fault, identity) for identity in range(5000))
    assert dealt[FaultKind.HANG] == pytest.approx(500, abs=80)
    assert dealt[FaultKind.SERVER_ERROR] == pytest.approx(1000, abs=120)


def test_the_order_of_the_lines_changes_nothing() -> None:
    one, other = a_plan(probability={"hang": 0.5, "cut_body": 0.5}), a_plan(probability={"cut_body": 0.5, "hang": 0.5})
    assert [one.choose(u / 10, 1) for u in range(10)] == [other.choose(u / 10, 1) for u in range(10)]


def test_a_cap_on_a_kind_holds_per_request() -> None:
    plan = a_plan(probability={"hang": 1.0}, at_most_per_request={"hang": 2})
    assert [plan.choose(0.0, 1) is None for _ in range(4)] == [False, False, True, True]
    assert plan.choose(0.0, 2) is FaultKind.HANG


def test_a_cap_on_a_family_counts_all_its_kinds() -> None:
    plan = a_plan(probability={"hang": 0.5, "reset_after": 0.5}, at_most_per_request={"unknown": 2, "hang": 1})
    assert plan.choose(0.1, 1) is FaultKind.HANG
    assert plan.choose(0.1, 1) is None
    assert plan.choose(0.9, 1) is FaultKind.RESET_AFTER
    assert plan.choose(0.9, 1) is None


def test_a_hang_is_paid_unless_told_otherwise() -> None:
    assert a_plan().is_paid(FaultKind.HANG)
    assert not a_plan(also_paid=[]).is_paid(FaultKind.HANG)
    assert a_plan(also_paid=["wrong_shape"]).is_paid(FaultKind.WRONG_SHAPE)


def test_every_kind_has_a_family_and_nothing_is_both_always_and_maybe_paid() -> None:
    assert set(FAMILY) == set(FaultKind)
    assert not ALWAYS_PAID & MAY_BE_PAID
