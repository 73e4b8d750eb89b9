from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from broker.catalog.starter import key_names
from broker.cli.init import init
from broker.settings import load

APP = typer.Typer()
APP.command()(init)
CANARY = "canary-0123456789abcdef"


def run(*arguments: str, **keys: str) -> tuple[int, str]:
    environment: dict[str, str | None] = dict.fromkeys(key_names())
    result = CliRunner().invoke(APP, list(arguments), env=environment | keys)
    return result.exit_code, result.output


def test_an_account_is_written_for_each_key_and_no_key_is(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    code, output = run(str(file), OPENAI_API_KEY=CANARY, MISTRAL_API_KEY=CANARY)
    assert code == 0
    assert [account.provider for account in load(file).accounts] == ["openai", "mistral"]
    assert CANARY not in file.read_text() + output


def test_without_keys_the_file_loads_too(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    code, output = run(str(file))
    assert code == 0
    assert [account.provider for account in load(file).accounts] == ["penstock-sim"]
    assert "penstock provider-sim" in output
    assert "--force" in output


def test_with_a_key_the_next_step_is_its_limits(tmp_path: Path) -> None:
    output = run(str(tmp_path / "penstock.toml"), OPENAI_API_KEY=CANARY)[1]
    assert "declare the limits" in output
    assert "provider-sim" not in output


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text("mine")
    code, output = run(str(file))
    assert (code, file.read_text()) == (2, "mine")
    assert "--force" in output


def test_force_replaces_the_file(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text("mine")
    assert run(str(file), "--force")[0] == 0
    assert load(file).accounts


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    code, output = run(str(tmp_path / "no" / "penstock.toml"))
    assert code == 2
    assert "cannot be written" in output


def test_the_default_is_the_file_that_every_command_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run()[0] == 0
    assert load(Path("penstock.toml")).accounts
