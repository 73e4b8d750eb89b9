from pathlib import Path

import pytest

from broker.domain.account import Account
from broker.domain.dialect import OPENAI_FAMILY
from broker.errors import ConfigError
from broker.secrets import MAX_FILE_BYTES, names_set, read_secret
from broker.settings import check_secrets


def account(name: str, secret: str | None) -> Account:
    return Account(
        name=name, provider="openai", protocols=OPENAI_FAMILY, base_url="x", models={"m": "m"}, secret=secret
    )


def key_file(folder: Path, content: bytes, mode: int = 0o600) -> str:
    path = folder / "key"
    path.write_bytes(content)
    path.chmod(mode)
    return f"file:{path}"


def test_a_variable_is_read_without_surrounding_white_space() -> None:
    assert read_secret("env:KEY", {"KEY": " canary\n"}).reveal() == "canary"


@pytest.mark.parametrize("environment", [{}, {"KEY": ""}, {"KEY": " \n"}])
def test_a_missing_or_empty_variable_is_refused_with_the_remedy(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="environment variable KEY is not set or empty; export KEY="):
        read_secret("env:KEY", environment)


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o444, 0o644])
def test_a_file_is_read_also_when_others_may_read_it(tmp_path: Path, mode: int) -> None:
    assert read_secret(key_file(tmp_path, b"canary\r\n", mode)).reveal() == "canary"


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_change_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigError, match="chmod go-w"):
        read_secret(key_file(tmp_path, b"canary", mode))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not set or empty"),
        (b"\n\n", "not set or empty"),
        (b"one\ntwo", "cannot be a key"),
        (b"\xff\xfe", "cannot be a key"),
        (b"x" * (MAX_FILE_BYTES + 1), "larger than"),
    ],
)
def test_a_file_that_holds_no_key_is_refused_without_being_shown(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as error:
        read_secret(key_file(tmp_path, content))
    assert "two" not in str(error.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_secret(f"file:{tmp_path}/nothing")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_secret(f"file:{tmp_path}")


def test_a_mounted_secret_behind_a_link_works(tmp_path: Path) -> None:
    key_file(tmp_path, b"canary")
    (tmp_path / "link").symlink_to(tmp_path / "key")
    assert read_secret(f"file:{tmp_path}/link").reveal() == "canary"


def test_another_scheme_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigError) as error:
        read_secret("sk-canary")
    assert "canary" not in str(error.value)


def test_a_secret_does_not_show_itself() -> None:
    secret = read_secret("env:KEY", {"KEY": "canary"})
    assert "canary" not in f"{secret} {secret!r}"


def test_only_variables_that_hold_something_count_as_set() -> None:
    assert names_set(["A", "B", "C"], {"A": "x", "B": " "}) == {"A"}


def test_every_account_without_its_key_is_named_with_its_line(tmp_path: Path) -> None:
    good = account("good", key_file(tmp_path, b"canary"))
    bad = [account("one", f"file:{tmp_path}/1"), account("two", f"file:{tmp_path}/2"), account("none", None)]
    with pytest.raises(ConfigError) as error:
        check_secrets([good, *bad], {"one": "penstock.toml:7"})
    lines = str(error.value).splitlines()
    assert [line.split(": api_key")[0] for line in lines] == ["penstock.toml:7: account one", "account two"]


def test_accounts_whose_keys_can_be_read_pass(tmp_path: Path) -> None:
    check_secrets([account("good", key_file(tmp_path, b"canary")), account("none", None)])
