import pytest

from broker.errors import ConfigError
from workers.provider_sim.config import checked
from workers.provider_sim.flags import Tables, fault, key, merged


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("a", {"name": "a"}),
        ("a=600", {"name": "a", "requests_per_minute": 600.0}),
        ("a=600,,8", {"name": "a", "requests_per_minute": 600.0, "concurrency": 8.0}),
        ("a=,90000", {"name": "a", "tokens_per_minute": 90000.0}),
    ],
)
def test_a_key_is_written_short(text: str, table: Tables) -> None:
    assert key(text) == table


@pytest.mark.parametrize("text", ["", "=600", "a=x", "a=1,2,3,4"])
def test_a_key_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--key"):
        key(text)


@pytest.mark.parametrize("text", ["hang", "hang=often"])
def test_a_fault_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--fault"):
        fault(text)


def test_flags_lie_over_the_file() -> None:
    tables = merged(
        {
            "seed": 1,
            "port": 1,
            "latency": {"sigma": 0.5},
            "keys": [{"name": "old"}],
            "faults": {"drip_interval_s": 2.0},
        },
        keys=["a=600,,4", "b"],
        faults=["hang=0.1"],
        fault_caps=["unknown=2"],
        window_s=1.0,
        top={"seed": 9, "port": None},
        latency={"first_token_s": 0.2, "per_token_s": None},
    )
    config = checked(tables, source="flags")
    assert (config.seed, config.port) == (9, 1)
    assert (config.latency.first_token_s, config.latency.sigma) == (0.2, 0.5)
    assert [(k.name, k.concurrency, k.window_s) for k in config.keys] == [("a", 4, 1.0), ("b", None, 1.0)]
    assert config.faults.drip_interval_s == 2.0
    assert config.faults.at_most_per_request == {"unknown": 2}


def test_a_window_alone_applies_to_the_default_key() -> None:
    config = checked(merged({}, window_s=2.0), source="flags")
    assert [(k.name, k.window_s) for k in config.keys] == [("sim", 2.0)]
