from statistics import fmean, stdev

from hypothesis import given
from hypothesis import strategies as st

from workers.provider_sim.chance import draw, identity_of, lognormal

CHAT = "/v1/chat/completions"


def test_tries_of_one_request_share_an_identity_on_every_account() -> None:
    one = identity_of(CHAT, {"model": "gpt-5-mini", "n": 1, "messages": []})
    assert one == identity_of(CHAT, {"messages": [], "n": 1, "model": "deployment-7"})


def test_other_bodies_and_other_paths_are_other_requests() -> None:
    body = {"model": "m", "input": "a"}
    assert len({identity_of(CHAT, body), identity_of("/v1/embeddings", body), identity_of(CHAT, {"input": "b"})}) == 3


@given(seed=st.integers(), identity=st.integers(0, 2**64 - 1), nth=st.integers(0, 50))
def test_the_same_try_is_always_dealt_the_same(seed: int, identity: int, nth: int) -> None:
    chance = draw(seed, identity, nth)
    assert chance == draw(seed, identity, nth)
    assert chance != draw(seed, identity, nth + 1)
    assert 0.0 <= chance.fault < 1.0


def test_draws_have_the_promised_distributions() -> None:
    chances = [draw(7, identity, 0) for identity in range(4000)]
    assert abs(fmean(c.fault for c in chances) - 0.5) < 0.02
    assert abs(fmean(c.latency for c in chances)) < 0.06
    assert abs(stdev(c.output for c in chances) - 1.0) < 0.05


def test_log_normal_noise_keeps_the_mean() -> None:
    values = [lognormal(200.0, 0.5, draw(1, identity, 0).output) for identity in range(4000)]
    assert abs(fmean(values) - 200.0) < 8.0
