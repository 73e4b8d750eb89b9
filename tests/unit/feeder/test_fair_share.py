import pytest

from broker.feeder.fair_share import NO_BONUS, FairShare


def service(fair: FairShare, *, jobs: int, cost_s: float = 1.0) -> dict[int, int]:
    """What each batch gets of so many jobs of one cost, while all keep having work."""
    got: dict[int, int] = {}
    for _ in range(jobs):
        batch = fair.pick()
        assert batch is not None
        fair.charge(batch, cost_s)
        got[batch] = got.get(batch, 0) + 1
    return got


def test_weights_divide_the_pool() -> None:
    fair = FairShare()
    fair.add(1, weight=1)
    fair.add(2, weight=3)

    assert service(fair, jobs=400) == {1: 100, 2: 300}


def test_a_new_weight_counts_from_then_on() -> None:
    fair = FairShare()
    fair.add(1)
    fair.add(2)
    service(fair, jobs=100)

    fair.add(2, weight=4)

    assert service(fair, jobs=500)[2] == pytest.approx(400, abs=2)


def test_batches_share_by_cost_and_not_by_jobs() -> None:
    fair = FairShare()
    fair.add(1)
    fair.add(2)
    spent = {1: 0.0, 2: 0.0}
    for _ in range(1_100):
        batch = fair.pick()
        assert batch is not None
        price = 10.0 if batch == 1 else 1.0
        fair.charge(batch, price)
        spent[batch] += price

    assert spent[1] == pytest.approx(spent[2], abs=10)


def test_absence_earns_no_credit() -> None:
    fair = FairShare()
    fair.add(1)
    fair.add(2)
    fair.remove(2)
    service(fair, jobs=1_000)

    fair.add(2)

    assert service(fair, jobs=100)[2] == pytest.approx(50, abs=1)


def test_a_batch_that_was_ahead_stays_ahead_when_it_returns() -> None:
    fair = FairShare()
    fair.add(1)
    fair.add(2)
    fair.charge(1, 50.0)
    fair.remove(1)
    fair.add(1)

    assert service(fair, jobs=50) == {2: 50}


def test_a_batch_that_arrives_after_an_idle_time_starts_level() -> None:
    fair = FairShare()
    fair.add(1)
    service(fair, jobs=1_000)
    fair.remove(1)
    assert fair.pick() is None

    fair.add(2)
    fair.add(1)

    assert service(fair, jobs=100)[1] == pytest.approx(50, abs=1)


def test_nothing_is_picked_without_work() -> None:
    fair = FairShare()
    assert fair.pick() is None
    fair.add(1)
    fair.forget(1)
    assert fair.pick() is None
    assert len(fair) == 0
    assert 1 not in fair


def test_a_tie_goes_to_the_older_batch() -> None:
    fair = FairShare()
    fair.add(9)
    fair.add(3)

    assert fair.pick() == 9


def test_a_batch_that_is_added_afresh_is_the_youngest() -> None:
    fair = FairShare()
    fair.add(1)
    fair.add(2)
    fair.forget(1)
    fair.add(3)
    fair.add(1)
    fair.forget(2)

    assert fair.pick() == 3


def test_settling_corrects_what_was_charged() -> None:
    fair = FairShare(NO_BONUS)
    fair.add(1, weight=2)
    fair.charge(1, 10.0)

    fair.settle(1, estimated=10.0, actual=4.0)

    assert fair.virtual_time(1) == pytest.approx(2.0)


def test_settling_above_the_estimate_costs_turns() -> None:
    fair = FairShare()
    fair.add(1)
    fair.add(2)
    fair.charge(1, 1.0)
    fair.charge(2, 1.0)

    fair.settle(1, estimated=1.0, actual=11.0)

    assert service(fair, jobs=10) == {2: 10}


def test_a_batch_is_corrected_while_it_has_no_work() -> None:
    fair = FairShare()
    fair.add(1)
    fair.add(2)
    fair.charge(1, 1.0)
    fair.remove(1)
    fair.settle(1, estimated=1.0, actual=21.0)
    fair.add(1)

    assert service(fair, jobs=20) == {2: 20}


def test_a_late_settlement_of_a_finished_batch_is_ignored() -> None:
    fair = FairShare()
    fair.add(1)
    fair.forget(1)

    fair.settle(1, estimated=1.0, actual=2.0)

    assert fair.pick() is None


def test_rounding_of_settled_charges_leaves_the_price_alone() -> None:
    fair = FairShare()
    fair.add(1)
    for _ in range(10_000):
        fair.charge(1, 0.1)
    for _ in range(10_000):
        fair.settle(1, estimated=0.1, actual=0.1)
    before = fair.virtual_time(1)

    fair.settle(1, estimated=0.1, actual=0.3)

    assert fair.virtual_time(1) - before == pytest.approx(0.2)


def test_settling_what_was_never_charged_earns_nothing() -> None:
    fair = FairShare()
    fair.add(1)
    fair.charge(1, 5.0)

    fair.settle(1, estimated=1_000.0, actual=0.0)

    assert fair.virtual_time(1) == 0.0


def test_finished_batches_leave_nothing_behind() -> None:
    fair = FairShare()
    fair.add(0)
    for batch in range(1, 5_000):
        fair.add(batch, jobs=1)
        fair.charge(batch, 1.0)
        fair.settle(batch, estimated=1.0, actual=0.5)
        fair.forget(batch)

    assert len(fair._heap) <= 128
    assert len(fair._shares) == 1


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_must_be_positive_and_finite(weight: float) -> None:
    with pytest.raises(ValueError, match="weight"):
        FairShare().add(1, weight=weight)


@pytest.mark.parametrize("amount", [-1.0, float("nan"), float("inf")])
def test_a_cost_must_be_finite_and_not_negative(amount: float) -> None:
    fair = FairShare()
    fair.add(1)
    with pytest.raises(ValueError, match="cost"):
        fair.charge(1, amount)
    with pytest.raises(ValueError, match="cost"):
        fair.settle(1, estimated=1.0, actual=amount)


def test_charging_an_unknown_batch_is_an_error() -> None:
    with pytest.raises(KeyError):
        FairShare().charge(1, 1.0)
