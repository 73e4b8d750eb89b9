import itertools
import random
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.feeder.fair_share import FairShare

WEIGHTS = st.sampled_from([0.5, 1.0, 2.0, 4.0, 8.0])
SEEDS = st.integers(0, 2**32)


def picks(fair: FairShare, draw: random.Random, largest: dict[int, float]) -> Iterator[tuple[int, float]]:
    """Endless service of batches that all keep having work, with jobs of random cost."""
    while True:
        batch = fair.pick()
        assert batch is not None
        price = draw.uniform(0.05, 1.0) * largest[batch]
        fair.charge(batch, price)
        yield batch, price


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, weights=st.lists(WEIGHTS, min_size=50, max_size=50))
def test_fifty_batches_of_random_sizes_are_served_evenly_by_weight(seed: int, weights: list[float]) -> None:
    """Jain's index over every window of 100 jobs a batch, begun at any time."""
    draw = random.Random(seed)
    fair = FairShare()
    largest = {batch: draw.choice([0.1, 0.3, 1.0]) for batch in range(50)}
    for batch, weight in enumerate(weights):
        fair.add(batch, weight=weight, jobs=draw.randint(1_000, 10**6))
    service = picks(fair, draw, largest)
    for _ in range(2):
        got = [0.0] * 50
        for batch, price in itertools.islice(service, 15_000):
            got[batch] += price / weights[batch]
        assert sum(got) ** 2 / (50 * sum(x * x for x in got)) >= 0.98


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, weights=st.lists(WEIGHTS, min_size=2, max_size=6), late=st.integers(0, 50))
def test_no_batch_lags_another_by_more_than_one_job_of_each(seed: int, weights: list[float], late: int) -> None:
    """The bound of start-time fair queueing, in every interval in which both have work and a newcomer had a turn."""
    draw = random.Random(seed)
    fair = FairShare()
    largest = {batch: draw.choice([0.1, 1.0, 10.0]) for batch in range(len(weights))}
    for batch, weight in enumerate(weights[:-1]):
        fair.add(batch, weight=weight)
    service = picks(fair, draw, largest)
    list(itertools.islice(service, late))
    newcomer = len(weights) - 1
    fair.add(newcomer, weight=weights[-1])
    assert any(batch == newcomer for batch, _ in itertools.islice(service, 10_000))
    got = [0.0] * len(weights)
    pairs = list(itertools.combinations(range(len(weights)), 2))
    least, most = dict.fromkeys(pairs, 0.0), dict.fromkeys(pairs, 0.0)
    for batch, price in itertools.islice(service, 300):
        got[batch] += price / weights[batch]
        for pair in pairs:
            ahead = got[pair[0]] - got[pair[1]]
            least[pair], most[pair] = min(least[pair], ahead), max(most[pair], ahead)
    for pair in pairs:
        bound = sum(largest[batch] / weights[batch] for batch in pair)
        assert most[pair] - least[pair] <= bound + 1e-9


@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=20), seed=SEEDS)
def test_the_pool_works_while_any_batch_has_work(sizes: list[int], seed: int) -> None:
    draw = random.Random(seed)
    fair = FairShare()
    for number, jobs in enumerate(sizes):
        fair.add(number, weight=draw.choice([0.1, 1, 10]), jobs=jobs)
    left = dict(enumerate(sizes))
    for _ in range(sum(sizes)):
        batch = fair.pick()
        assert batch is not None
        fair.charge(batch, draw.random())
        left[batch] -= 1
        if not left[batch]:
            fair.remove(batch)

    assert fair.pick() is None
    assert not any(left.values())


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_the_same_history_gives_the_same_order(seed: int) -> None:
    def history() -> list[int]:
        draw = random.Random(seed)
        fair = FairShare()
        for batch in range(20):
            fair.add(batch, weight=draw.choice([1, 2]), jobs=draw.choice([100, 10_000, None]))
        return [batch for batch, _ in itertools.islice(picks(fair, draw, dict.fromkeys(range(20), 1.0)), 500)]

    assert history() == history()


class AnyHistory(RuleBasedStateMachine):
    """Whatever is called in whatever order, the pick is the active batch that has paid least, oldest first."""

    def __init__(self) -> None:
        super().__init__()
        self.fair = FairShare()
        self.active: set[int] = set()
        self.seen: list[int] = []

    @rule(batch=st.integers(0, 9), weight=WEIGHTS, jobs=st.sampled_from([None, 1, 3, 100, 1_000]))
    def add(self, batch: int, weight: float, jobs: int | None) -> None:
        least = min((self.fair.virtual_time(b) for b in self.active), default=0.0)
        newly = batch not in self.active
        self.fair.add(batch, weight=weight, jobs=jobs)
        self.active.add(batch)
        if batch not in self.seen:
            self.seen.append(batch)
        if newly:
            assert self.fair.virtual_time(batch) >= least

    @rule(batch=st.integers(0, 9))
    def remove(self, batch: int) -> None:
        self.fair.remove(batch)
        self.active.discard(batch)

    @rule(batch=st.integers(0, 9))
    def forget(self, batch: int) -> None:
        self.fair.forget(batch)
        self.active.discard(batch)
        if batch in self.seen:
            self.seen.remove(batch)

    @rule(price=st.floats(0, 100), jobs=st.integers(1, 5))
    def feed(self, price: float, jobs: int) -> None:
        if (batch := self.fair.pick()) is not None:
            before = self.fair.virtual_time(batch)
            self.fair.charge(batch, price, jobs=jobs)
            assert self.fair.virtual_time(batch) >= before

    @rule(batch=st.integers(0, 9), estimated=st.floats(0, 100), actual=st.floats(0, 100))
    def settle(self, batch: int, estimated: float, actual: float) -> None:
        self.fair.settle(batch, estimated=estimated, actual=actual)

    @invariant()
    def the_pick_has_paid_least(self) -> None:
        expected = min(self.active, key=lambda b: (self.fair.virtual_time(b), self.seen.index(b)), default=None)
        assert self.fair.pick() == expected
        assert len(self.fair) == len(self.active)


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
