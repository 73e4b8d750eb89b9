"""Tells before anything starts whether every account's key can be read."""

from collections.abc import Iterable, Mapping

from broker.domain.account import Account
from broker.errors import ConfigError
from broker.secrets import read_secret


def check_secrets(accounts: Iterable[Account], origins: Mapping[str, str] | None = None) -> None:
    """Raise `ConfigError` listing every account whose key cannot be read; the keys are forgotten at once.

    `origins` is `Settings.key_origins`; with it the error names file and line.
    """
    problems = [problem for account in accounts if (problem := _problem(account, origins or {}))]
    if problems:
        raise ConfigError("\n".join(problems))


def _problem(account: Account, origins: Mapping[str, str]) -> str | None:
    if account.secret is None:
        return None
    try:
        read_secret(account.secret)
    except ConfigError as error:
        where = f"{origins[account.name]}: " if account.name in origins else ""
        return f"{where}account {account.name}: api_key: {error}"
    return None
