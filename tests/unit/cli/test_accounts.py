import json
import sys
from pathlib import Path
from subprocess import run

import pytest
from typer.testing import CliRunner

from broker.cli.accounts import accounts_app
from broker.domain.attempt import AttemptState
from broker.domain.job import JobKey
from broker.errors import ConfigError
from broker.testing.builders import FINISHED_AT, a_claim, a_failure, a_report
from broker.testing.contracts.store import opened

CONFIG = """
[[accounts]]
name = "team-a"
provider = "openai"
api_key = "env:PENSTOCK_TEST_KEY"
models = { "small" = "gpt-5-mini" }
limits = { requests_per_minute = 500, concurrency = 7 }
limit_group = "org"

[[accounts]]
name = "home"
provider = "vllm"
models = ["[m]"]
workers = 2
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "penstock.toml"
    file.write_text(CONFIG)
    return str(file)


def call(*arguments: str, key: str | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(accounts_app, list(arguments), env={"PENSTOCK_TEST_KEY": key})
    return result.exit_code, result.output


def test_the_list_shows_what_each_account_may_do(config: str) -> None:
    code, output = call("list", "--config", config)
    assert code == 0
    header, team, home = output.splitlines()
    assert header.split() == ["name", "provider", "models", "limits", "group", "concurrency", "key", "state"]
    for shown in ("team-a", "openai", "small → gpt-5-mini", "500 requests/minute", "org", "7", "is not set"):
        assert shown in team
    for shown in ("home", "vllm", "[m]", "unknown", "up to 64", "none"):
        assert shown in home


def test_the_list_says_that_a_key_is_set_and_not_what_it_is(config: str) -> None:
    _, output = call("list", "--config", config, key="canary")
    assert "env:PENSTOCK_TEST_KEY (set)" in output
    assert "canary" not in output


def test_the_list_as_json_has_every_fact(config: str) -> None:
    _, output = call("list", "--config", config, "--json", key="canary")
    team, home = json.loads(output)
    assert team["limits"] == {"requests_per_minute": 500, "concurrency": 7}
    assert (team["limit_group"], team["secret"], team["secret_problem"]) == ("org", "env:PENSTOCK_TEST_KEY", None)
    assert (home["limit_group"], home["secret"], home["models"]) == ("home", None, {"[m]": "[m]"})


def test_without_a_command_the_accounts_are_listed(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(config).parent)
    assert call()[1] == call("list")[1]


def test_options_without_a_command_are_those_of_the_list(config: str) -> None:
    assert call("--config", config, "--json") == call("list", "--config", config, "--json")
    code, output = call("--config", config, "check")
    assert code == 2
    assert "options of `check` go behind it" in output


def test_the_list_says_how_the_last_call_of_an_account_ended(config: str, sqlite_url: str) -> None:
    with opened(sqlite_url) as ledger:
        batch_id = ledger.batch(3)
        good, bad = JobKey(batch_id, 0), JobKey(batch_id, 1)
        ledger.claim(a_claim(good), a_claim(bad))
        ledger.record(a_report(good, finished_at=FINISHED_AT - 60))
        ledger.record(a_report(bad, state=AttemptState.FAILED, then=a_failure(bad)))
    _, output = call("list", "--config", config, "--database", sqlite_url)
    team, home = output.splitlines()[1:]
    assert "server_error, " in team
    assert team.rstrip().endswith(" ago")
    assert home.split()[-1] == "-"
    team_facts, home_facts = json.loads(call("--config", config, "--database", sqlite_url, "--json")[1])
    assert team_facts["last_call"]["error_class"] == "server_error"
    assert home_facts["last_call"] is None


def test_a_database_that_is_named_must_be_there(config: str) -> None:
    result = CliRunner().invoke(accounts_app, ["--config", config, "--database", "sqlite:///no/such.db"])
    assert isinstance(result.exception, ConfigError)


def test_a_configuration_that_does_not_load_exits_2_with_its_problems(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text("[[accounts]]\n")
    code, output = call("list", "--config", str(file))
    assert code == 2
    assert f"{file}:1: accounts[0].name: is missing" in output


def test_checking_an_account_that_is_not_there_names_those_that_are(config: str) -> None:
    code, output = call("check", "nobody", "--config", config)
    assert code == 2
    assert "its accounts are team-a, home" in output


def test_importing_the_commands_loads_nothing_heavy() -> None:
    heavy = "{'pydantic', 'sqlalchemy', 'aiohttp', 'genai_prices', 'rich.table'}"
    code = f"import sys, broker.cli.accounts, broker.cli.init; print({heavy} & set(sys.modules))"
    assert run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
