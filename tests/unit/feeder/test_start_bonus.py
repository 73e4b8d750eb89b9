import pytest

from broker.feeder.fair_share import NO_BONUS, FairShare, StartBonus


def drained_alone_after_s(jobs: int, *, rate: float) -> float:
    return jobs / rate


def drained_beside_after_s(
    *, small: int, big: int, bonus: StartBonus, rate: float, window_s: float, head_start_s: float
) -> float:
    """Seconds from the arrival of the small batch to its last job, in a pool that serves a short FIFO window."""
    fair = FairShare(bonus)
    left = {1: big, 2: small}
    fair.add(1, jobs=big)
    window: list[int] = []
    served = {1: 0, 2: 0}
    arrival = int(head_start_s * rate)
    for tick in range(big + small):
        if tick == arrival:
            fair.add(2, jobs=small)
        while len(window) < max(1, int(window_s * rate)) and (batch := fair.pick()) is not None:
            window.append(batch)
            fair.charge(batch, 1 / rate)
            left[batch] -= 1
            if not left[batch]:
                fair.remove(batch)
        served[window.pop(0)] += 1
        if served[2] == small:
            return (tick + 1 - arrival) / rate
    raise AssertionError("the small batch never finished")


@pytest.mark.parametrize("head_start_s", [0.0, 30.0])
@pytest.mark.parametrize(("bonus", "slowdown"), [(StartBonus(), 1.5), (NO_BONUS, 2.2)])
def test_a_small_batch_beside_a_big_one_is_back_soon(bonus: StartBonus, slowdown: float, head_start_s: float) -> None:
    beside = drained_beside_after_s(
        small=200, big=20_000, bonus=bonus, rate=100, window_s=0.25, head_start_s=head_start_s
    )

    assert beside <= slowdown * drained_alone_after_s(200, rate=100)


def service(fair: FairShare, *, jobs: int, cost_s: float = 1.0) -> dict[int, int]:
    """What each batch gets of so many jobs of one cost, while all keep having work."""
    got: dict[int, int] = {}
    for _ in range(jobs):
        batch = fair.pick()
        assert batch is not None
        fair.charge(batch, cost_s)
        got[batch] = got.get(batch, 0) + 1
    return got


def test_what_the_bonus_made_cheap_is_given_back_as_cheaply() -> None:
    fair = FairShare(StartBonus(factor=4, jobs=10))
    fair.add(1)
    fair.add(2, jobs=10)
    for _ in range(10):
        fair.charge(2, 8.0)
    assert fair.virtual_time(2) == pytest.approx(20.0)

    for _ in range(10):
        fair.settle(2, estimated=8.0, actual=0.0)

    assert fair.virtual_time(2) == pytest.approx(0.0)


def test_a_small_batch_starts_at_four_times_its_weight() -> None:
    fair = FairShare()
    fair.add(1, jobs=20_000)
    fair.add(2, jobs=400)

    assert service(fair, jobs=250)[2] == pytest.approx(200, abs=2)


def test_the_bonus_ends_with_the_jobs_it_is_for() -> None:
    fair = FairShare(StartBonus(jobs=100))
    fair.add(1)
    fair.add(2, jobs=100)
    service(fair, jobs=125)

    assert service(fair, jobs=100)[2] == pytest.approx(50, abs=2)


@pytest.mark.parametrize("jobs", [None, 0, 501, 20_000])
def test_only_a_batch_known_to_be_small_has_a_bonus(jobs: int | None) -> None:
    fair = FairShare()
    fair.add(1)
    fair.add(2, jobs=jobs)

    assert service(fair, jobs=100) == {1: 50, 2: 50}


def share_of_big(*, beside: int, jobs: int, cost_s: float) -> float:
    """What a big batch of 1 s jobs gets beside so many small ones at any time, each replaced when it is done."""
    fair = FairShare()
    fair.add(0, jobs=1_000_000)
    left = dict.fromkeys(range(1, beside + 1), jobs)
    for small in left:
        fair.add(small, jobs=jobs)
    big, total, newest = 0.0, 0.0, beside
    for _ in range(10_000):
        batch = fair.pick()
        assert batch is not None
        price = cost_s if batch else 1.0
        fair.charge(batch, price)
        total += price
        if batch == 0:
            big += price
            continue
        left[batch] -= 1
        if not left[batch]:
            fair.forget(batch)
            newest += 1
            left[newest] = jobs
            fair.add(newest, jobs=jobs)
    return big / total


@pytest.mark.parametrize("jobs", [1, 2, 20, 400])
@pytest.mark.parametrize("beside", [1, 2, 3, 4, 10, 40])
def test_an_endless_row_of_small_batches_leaves_the_big_one_its_floor(beside: int, jobs: int) -> None:
    assert share_of_big(beside=beside, jobs=jobs, cost_s=1.0) >= min(0.2, 1 / (beside + 1)) * 0.95


@pytest.mark.parametrize("cost_s", [0.01, 100.0])
@pytest.mark.parametrize("jobs", [1, 20])
@pytest.mark.parametrize("beside", [1, 4, 10])
def test_nor_do_small_batches_of_other_sizes_of_job_starve_it(beside: int, jobs: int, cost_s: float) -> None:
    assert share_of_big(beside=beside, jobs=jobs, cost_s=cost_s) >= min(0.2, 1 / (beside + 1)) * 0.85


@pytest.mark.parametrize("wrong", [{"factor": 0.5}, {"jobs": -1}, {"floor": 0.0}, {"floor": 1.0}])
def test_a_senseless_bonus_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="bonus"):
        StartBonus(**wrong)  # type: ignore[arg-type]  # wrong on purpose
