"""How the worker process of an account is started: its command, and an environment without the keys of others."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from broker.domain.account import Account
from broker.secrets import environment_without, variable_of

Command = Callable[[str], Sequence[str]]
"""Gives the command line for an account's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What a process is started with. The environment holds a key, so it shows itself nowhere."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)


def worker_command(config: Path) -> Command:
    """Give the commands that start `penstock worker` on this configuration."""
    # -P: a folder `broker` or `workers` in the present directory is not ours
    start = (sys.executable, "-P", "-m", "broker.cli", "worker", "--config", str(config.absolute()))
    return lambda account: (*start, "--account", account)


class Launcher:
    """Knows of every account where its key is, so that no process gets the key of another account's.

    Variables that earlier configurations named stay private: an account that was removed still has its key.
    """

    def __init__(self, command: Command) -> None:
        self._command = command
        self._private: set[str] = set()
        self._shared: frozenset[str] = frozenset()

    def adopt(self, accounts: Iterable[Account], shared: Iterable[str | None] = ()) -> None:
        """Take over a configuration; `shared` are references that every worker needs (its servers' URLs)."""
        self._private |= {name for account in accounts if (name := variable_of(account.secret))}
        self._shared = frozenset(name for reference in shared if (name := variable_of(reference)))

    def launch(self, account: Account) -> Launch:
        """Say how to start a process of this account."""
        hidden = self._private - self._shared - {variable_of(account.secret)}
        return Launch(command=tuple(self._command(account.name)), environment=environment_without(hidden))
