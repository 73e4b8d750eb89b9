"""Each process gets the key of its own account, and no other."""

import sys
from pathlib import Path

import pytest

from broker.domain.account import Account
from tests.engines import an_account
from workers.launching import Launch, Launcher, worker_command


def keyed(name: str, secret: str | None) -> Account:
    return an_account(name=name, secret=secret)


def launcher(*accounts: Account, shared: tuple[str | None, ...] = ()) -> Launcher:
    made = Launcher(lambda account: ("worker", account))
    made.adopt(accounts, shared)
    return made


def names(launch: Launch) -> set[str]:
    return {name for name in launch.environment if name.startswith("CANARY")}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CANARY_A", "CANARY_B", "CANARY_URL", "CANARY_ELSE"):
        monkeypatch.setenv(name, "sk-canary")


def test_keys_of_other_accounts_are_taken_out() -> None:
    a, b, none = keyed("a", "env:CANARY_A"), keyed("b", "env:CANARY_B"), keyed("none", None)
    made = launcher(a, b, none, shared=("env:CANARY_URL", None, "redis://host"))
    assert names(made.launch(a)) == {"CANARY_A", "CANARY_URL", "CANARY_ELSE"}
    assert names(made.launch(b)) == {"CANARY_B", "CANARY_URL", "CANARY_ELSE"}
    assert names(made.launch(none)) == {"CANARY_URL", "CANARY_ELSE"}


def test_accounts_with_one_key_both_get_it() -> None:
    a, b = keyed("a", "env:CANARY_A"), keyed("b", "env:CANARY_A")
    assert "CANARY_A" in names(launcher(a, b).launch(b))


def test_the_key_of_an_account_that_is_gone_stays_private() -> None:
    a, b = keyed("a", "env:CANARY_A"), keyed("b", "env:CANARY_B")
    made = launcher(a, b)
    made.adopt([b])
    assert "CANARY_A" not in names(made.launch(b))


def test_what_every_worker_needs_is_no_secret_of_one() -> None:
    a, b = keyed("a", "env:CANARY_URL"), keyed("b", None)
    assert "CANARY_URL" in names(launcher(a, b, shared=("env:CANARY_URL",)).launch(b))


def test_a_launch_shows_no_key() -> None:
    a = keyed("a", "env:CANARY_A")
    assert "sk-canary" not in repr(launcher(a).launch(a))


def test_the_command_is_that_of_this_installation() -> None:
    command = worker_command(Path("conf/penstock.toml"))("team-a")
    assert command[:4] == (sys.executable, "-P", "-m", "broker.cli")
    assert command[4:] == ("worker", "--config", str(Path.cwd() / "conf/penstock.toml"), "--account", "team-a")
