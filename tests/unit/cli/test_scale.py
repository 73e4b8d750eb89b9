import json
from pathlib import Path

import pytest
from sqlalchemy import Connection, update
from typer.testing import CliRunner

from broker.cli.app import app
from broker.cli.scale import read_numbers
from broker.errors import CallerError
from broker.store import workers as store
from broker.store.tables import workers
from broker.testing.contracts.store import opened

CONFIG = """
[broker]
database = "env:SCALE_TEST_DATABASE"

[[accounts]]
name = "team-a"
provider = "vllm"
models = ["m"]

[[accounts]]
name = "home"
provider = "vllm"
models = ["m"]
autoscale = { min = 1, max = 8 }
"""


class Operator:
    """Calls `penstock scale` in a set-up of its own."""

    def __init__(self, config: Path, url: str) -> None:
        self._config = config
        self._url = url

    def scale(self, *arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(
            app, ["scale", *arguments, "--config", str(self._config)], env={"SCALE_TEST_DATABASE": self._url}
        )
        return result.exit_code, result.output

    def asked(self) -> dict[str, int | None]:
        code, output = self.scale("--json")
        assert code == 0, output
        return {facts["name"]: facts["asked"] for facts in json.loads(output)}


@pytest.fixture
def operator(tmp_path: Path, sqlite_url: str) -> Operator:
    config = tmp_path / "conf.toml"
    config.write_text(CONFIG)
    return Operator(config, sqlite_url)


def test_numbers_are_kept_in_the_database_of_the_fleet(operator: Operator) -> None:
    code, output = operator.scale("team-a=4", "home=0")
    assert (code, output) == (0, "team-a: 4 processes\nhome: no processes; what runs finishes its calls\n")
    assert operator.asked() == {"team-a": 4, "home": 0}
    assert operator.scale("home=auto", "team-a=1")[1] == "home: as the configuration says\nteam-a: 1 process\n"
    assert operator.asked() == {"team-a": 1, "home": None}


def test_an_unknown_account_is_refused_and_nothing_is_asked_for(operator: Operator) -> None:
    code, output = operator.scale("team-a=4", "team-b=4")
    assert code == 2
    assert "no account team-b" in output
    assert "its accounts are team-a, home" in output
    assert operator.asked() == {"team-a": None, "home": None}


def test_without_numbers_it_shows_what_runs(operator: Operator, sqlite_url: str) -> None:
    with opened(sqlite_url) as ledger:
        for worker_id in ("1", "2"):
            ledger.write(store.register, worker_id, "home")
        ledger.write(_works, "1")
    operator.scale("team-a=4")
    code, output = operator.scale()
    assert code == 0
    header, team, home = output.splitlines()
    assert header.split("  ")[0] == "account"
    assert team.split() == ["team-a", "1", "4", "1", "0", "-"]
    assert home.split() == ["home", "1", "to", "8", "-", "2", "5/8", "at", "its", "limit", "of", "tokens"]
    facts = json.loads(operator.scale("--json")[1])[1]
    assert (facts["autoscale"], facts["running"], facts["in_flight"]) == ({"min": 1, "max": 8}, 2, 5)
    assert facts["processes"][0] == {"in_flight": 5, "slots": 8, "busy": 0.5, "waits_for": "tokens"}


def _works(connection: Connection, worker_id: str) -> None:
    said = {"in_flight": 5, "slots": 8, "busy": 0.5, "waits_for": "tokens"}
    connection.execute(update(workers).where(workers.c.worker_id == worker_id).values(**said))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a", "write NAME=NUMBER, like a=4"),
        ("a=", "the number must be 0 to 256, or `default`"),
        ("a=-1", "the number must be 0 to 256"),
        ("a=1.5", "the number must be 0 to 256"),
        ("a=257", "the number must be 0 to 256"),
        ("a=²", "the number must be 0 to 256"),
        ("=4", "no account "),
    ],
)
def test_what_is_no_number_for_an_account_is_refused(text: str, why: str) -> None:
    with pytest.raises(CallerError, match=why):
        read_numbers([text], Path("penstock.toml"), ["a"])


def test_an_account_has_one_number() -> None:
    with pytest.raises(CallerError, match="a: named twice"):
        read_numbers(["a=1", "a=2"], Path("penstock.toml"), ["a"])


def test_the_most_is_allowed() -> None:
    assert read_numbers(["a=256", "b=default"], Path("penstock.toml"), ["a", "b"]) == {"a": 256, "b": None}
