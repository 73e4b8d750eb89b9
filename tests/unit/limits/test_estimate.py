"""Prediction of tokens without a tokenizer."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.usage import NO_USAGE, Usage
from broker.limits.estimate import Estimator
from broker.limits.facts import Content, RequestFacts
from broker.limits.regression import Regression


def some_facts(
    *,
    size_bytes: int = 1500,
    messages: int = 2,
    max_tokens: int | None = 1000,
    batch_id: int = 1,
    content: Content = Content.TEXT,
    generates: bool = True,
    model: str = "m",
) -> RequestFacts:
    return RequestFacts(
        model=model,
        batch_id=batch_id,
        content=content,
        size_bytes=size_bytes,
        messages=messages,
        max_tokens=max_tokens,
        generates=generates,
    )


def test_a_cold_estimate_takes_four_bytes_a_token_and_a_margin() -> None:
    estimate = Estimator().estimate(some_facts(size_bytes=4000))
    assert 1000 < estimate.input_tokens < 1300


def test_input_is_learned_to_within_a_few_percent() -> None:
    chance, estimator = random.Random(3), Estimator()
    for _ in range(300):
        size, messages = chance.randrange(300, 20_000), chance.randrange(1, 9)
        tokens = int(size / 5.1 + 7 * messages + 40)
        estimator.learn(some_facts(size_bytes=size, messages=messages), Usage(input_tokens=tokens))
    predicted = estimator.estimate(some_facts(size_bytes=8000, messages=4)).input_tokens
    assert predicted == pytest.approx(8000 / 5.1 + 28 + 40, rel=0.03)


def test_the_margin_is_gone_after_fifty_samples() -> None:
    chance, estimator = random.Random(5), Estimator()
    for count in range(400):
        if count == 40:
            early = estimator.estimate(some_facts()).input_tokens
        estimator.learn(some_facts(), Usage(input_tokens=int(chance.gauss(400, 60))))
    late = estimator.estimate(some_facts()).input_tokens
    assert late == pytest.approx(400, rel=0.08)
    assert early > late + 20


def test_inputs_that_never_vary_stay_well_posed_for_ever() -> None:
    regression = Regression(Content.TEXT)
    for _ in range(20_000):
        regression.learn(1500, 1, 300)
    assert regression.predict(1500, 1) == pytest.approx(300, rel=0.01)
    assert 100 < regression.predict(3000, 1) < 1000


def test_one_huge_request_does_not_outvote_the_small_ones() -> None:
    estimator = Estimator()
    for _ in range(100):
        estimator.learn(some_facts(size_bytes=1000, messages=1), Usage(input_tokens=250))
    estimator.learn(some_facts(size_bytes=1_000_000, messages=1), Usage(input_tokens=170_000))
    for _ in range(20):
        estimator.learn(some_facts(size_bytes=1000, messages=1), Usage(input_tokens=250))
    assert estimator.estimate(some_facts(size_bytes=1000, messages=1)).input_tokens == pytest.approx(250, rel=0.1)


def test_models_and_contents_learn_apart() -> None:
    estimator = Estimator()
    before = estimator.estimate(some_facts(content=Content.CODE)).input_tokens
    for _ in range(60):
        estimator.learn(some_facts(), Usage(input_tokens=5000))
        estimator.learn(some_facts(content=Content.CODE, model="other"), Usage(input_tokens=5000))
    assert estimator.estimate(some_facts(content=Content.CODE)).input_tokens == before


@pytest.mark.parametrize(("max_tokens", "expected"), [(1000, 250.0), (40, 16.0), (5, 5.0), (None, 256.0)])
def test_cold_output_is_a_quarter_of_the_limit(max_tokens: int | None, expected: float) -> None:
    assert Estimator().estimate(some_facts(max_tokens=max_tokens)).output_tokens == expected


def test_a_batch_leaves_the_mean_of_its_model_as_it_answers() -> None:
    estimator = Estimator()
    for _ in range(200):
        estimator.learn(some_facts(batch_id=1), Usage(output_tokens=100))
    assert estimator.estimate(some_facts(batch_id=2)).output_tokens == pytest.approx(100)
    for _ in range(20):
        estimator.learn(some_facts(batch_id=2), Usage(output_tokens=500))
    assert 300 <= estimator.estimate(some_facts(batch_id=2)).output_tokens < 400
    for _ in range(2000):
        estimator.learn(some_facts(batch_id=2), Usage(output_tokens=500))
    assert estimator.estimate(some_facts(batch_id=2)).output_tokens == pytest.approx(500, rel=0.01)


def test_output_is_never_expected_above_its_limit() -> None:
    estimator = Estimator()
    estimator.learn(some_facts(max_tokens=None), Usage(output_tokens=4000))
    assert estimator.estimate(some_facts(max_tokens=100)).output_tokens == 100


def test_an_embedding_has_no_output() -> None:
    estimator = Estimator()
    estimator.learn(some_facts(generates=False), Usage(input_tokens=10, output_tokens=0))
    assert estimator.estimate(some_facts(generates=False, max_tokens=None)).output_tokens == 0.0
    assert estimator.estimate(some_facts(max_tokens=None)).output_tokens == 256.0


def test_unknown_usage_teaches_nothing() -> None:
    estimator = Estimator()
    before = estimator.estimate(some_facts())
    estimator.learn(some_facts(), NO_USAGE)
    assert estimator.estimate(some_facts()) == before


def test_memory_does_not_grow_with_the_batches() -> None:
    estimator = Estimator()
    for batch_id in range(10_000):
        estimator.learn(some_facts(batch_id=batch_id), Usage(output_tokens=10))
    assert len(estimator._batches) == 4096


@given(
    st.lists(
        st.tuples(
            st.integers(min_value=2, max_value=16 * 2**20),
            st.integers(min_value=0, max_value=10_000),
            st.integers(min_value=1, max_value=10**7),
        ),
        max_size=80,
    )
)
def test_an_estimate_is_always_a_usable_number(samples: list[tuple[int, int, int]]) -> None:
    regression = Regression(Content.TEXT)
    for size, messages, tokens in samples:
        regression.learn(size, messages, tokens)
        assert 1.0 <= regression.predict(size, messages) < 1e12
