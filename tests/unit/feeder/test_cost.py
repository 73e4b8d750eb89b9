import pytest

from broker.feeder.cost import PoolRates, cost
from broker.limits.port import Charge

POOL = PoolRates(requests_per_s=10, tokens_per_s=10_000)


@pytest.mark.parametrize(
    ("need", "pool", "seconds"),
    [
        (Charge(input_tokens=50, output_tokens=50), POOL, 0.1),
        (Charge(input_tokens=3_000, output_tokens=2_000), POOL, 0.5),
        (Charge(input_tokens=100, output_tokens=400), PoolRates(input_tokens_per_s=1_000, output_tokens_per_s=200), 2),
        (Charge(input_tokens=900, output_tokens=10), PoolRates(input_tokens_per_s=1_000, output_tokens_per_s=200), 0.9),
    ],
)
def test_the_cost_is_the_share_of_the_scarcest_resource(need: Charge, pool: PoolRates, seconds: float) -> None:
    assert cost(need, pool) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "pool", [PoolRates(), PoolRates(requests_per_s=0, tokens_per_s=-1), PoolRates(requests_per_s=5)]
)
def test_long_and_short_jobs_share_by_tokens_where_no_token_rate_is_known(pool: PoolRates) -> None:
    short, long = Charge(input_tokens=1_000, output_tokens=500), Charge(input_tokens=10_000, output_tokens=5_000)

    assert cost(long, pool) == pytest.approx(10 * cost(short, pool))


def test_ordinary_jobs_share_by_requests_where_only_those_are_limited() -> None:
    pool = PoolRates(requests_per_s=5)

    assert cost(Charge(input_tokens=20), pool) == cost(Charge(input_tokens=600, output_tokens=200), pool) == 0.2


def test_no_job_is_free() -> None:
    assert cost(Charge(requests=0), POOL) > 0
    assert cost(Charge(), PoolRates(output_tokens_per_s=10)) > 0
