import json
import sys
from pathlib import Path
from subprocess import run

import pytest
from typer.testing import CliRunner

from broker.cli.accounts import accounts_app

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
    assert header.split() == ["name", "provider", "models", "limits", "group", "concurrency", "key"]
    for shown in ("team-a", "openai", "small → gpt-5-mini", "500 requests/minute", "org", "7", "is not set"):
        assert shown in team
    for shown in ("home", "vllm", "[m]", "unknown", "up to 128", "none"):
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
