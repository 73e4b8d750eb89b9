from pathlib import Path

import pytest

from broker.errors import ConfigError
from workers.provider_sim.config import SimConfig, checked, load
from workers.provider_sim.fault_kinds import FaultKind

FULL = """
seed = 7
models = ["m"]
ledger = "counts"
[latency]
first_token_s = 0.2
per_token_s = 0.01
sigma = 0.3
[output]
mean_tokens = 120
[faults.probability]
hang = 0.01
[faults.at_most_per_request]
unknown = 2
hang = 1
[[keys]]
name = "a"
secret = "hidden-value"
requests_per_minute = 600
charge_mode = "max_once"
[[keys]]
name = "b"
"""


def test_a_file_says_everything(tmp_path: Path) -> None:
    path = tmp_path / "sim.toml"
    path.write_text(FULL)
    config = load(path)
    assert [key.material for key in config.keys] == ["hidden-value", "b"]
    assert config.faults.probability == {FaultKind.HANG: 0.01}
    assert config.is_random


def test_nothing_is_random_unless_asked_for() -> None:
    assert not SimConfig().is_random


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"keys": [{"name": "a", "rpm": 5}]}, "keys.0.rpm: unknown key"),
        ({"speed": 1}, "speed: unknown key"),
        ({"faults": {"probability": {"explode": 0.5}}}, "faults.probability.explode: no such fault; there are"),
        ({"faults": {"probability": {"hang": 0.6, "cut_body": 0.6}}}, "exceed 1"),
        ({"faults": {"also_paid": ["server_error"]}}, "server_error cannot be chosen"),
        ({"keys": [{"name": "a"}, {"name": "a"}]}, "same name"),
        ({"keys": [{"name": "a"}, {"name": "b", "secret": "a"}]}, "same secret"),
        ({"keys": []}, "at least one"),
        ({"keys": [{"name": "a", "requests_per_minute": 0}]}, "keys.0.requests_per_minute"),
        ({"latency": {"first_token_s": float("nan")}}, "latency.first_token_s"),
    ],
)
def test_a_wrong_key_is_named(tables: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=r"^sim\.toml: ") as raised:
        checked(tables, source="sim.toml")
    assert words in str(raised.value)


def test_a_secret_is_in_no_message() -> None:
    with pytest.raises(ConfigError) as raised:
        checked({"keys": [{"name": "", "secret": "hidden-value"}]}, source="sim.toml")
    assert "hidden-value" not in str(raised.value)
    assert "hidden-value" not in repr(checked({"keys": [{"name": "a", "secret": "hidden-value"}]}, source="x"))


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sim.toml"
    with pytest.raises(ConfigError, match="cannot be read"):
        load(path)
    path.write_text("a =")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load(path)
