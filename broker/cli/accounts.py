"""`penstock accounts`: lists the configured accounts, and tries each with one tiny call."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.errors import ConfigError

if TYPE_CHECKING:
    from broker.domain.account import Account

EXIT_UNFIT = 1
EXIT_REFUSED = 2

accounts_app = typer.Typer(help="The configured accounts.")

ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="The configuration.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DEFAULT_CONFIG = Path("penstock.toml")


@accounts_app.callback(invoke_without_command=True)
def accounts(context: typer.Context) -> None:
    """List the configured accounts, unless a command is given."""
    if context.invoked_subcommand is None:
        list_accounts()


@accounts_app.command("list")
def list_accounts(*, config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show every account with its models, its limits and whether its key can be read."""
    found = _configured(config)
    if as_json:
        typer.echo(json.dumps([_facts(account) for account in found], indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    # Without a terminal the table is as wide as it must be: cut names are of no use to another program.
    console = Console(width=None if sys.stdout.isatty() else 1_000)
    table = Table("name", "provider", "models", "limits", "group", "concurrency", "key", box=None, pad_edge=False)
    for account in found:
        table.add_row(*_row(account))
    console.print(table)


@accounts_app.command("check")
def check(
    names: Annotated[list[str] | None, typer.Argument(help="Accounts to check; all when none is named.")] = None,
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Make one tiny real call per account, and say what is wrong and what to do about it."""
    import asyncio
    from dataclasses import asdict

    from broker.cli.account_check import check_accounts
    from broker.domain.clock import SystemClock

    found = _configured(config)
    unknown = set(names or ()) - {account.name for account in found}
    if unknown:
        known = ", ".join(account.name for account in found)
        typer.echo(f"no account {', '.join(sorted(unknown))} in {config}; its accounts are {known}", err=True)
        raise typer.Exit(EXIT_REFUSED)
    chosen = [account for account in found if not names or account.name in names]
    findings = asyncio.run(check_accounts(chosen, SystemClock()))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))
    else:
        width = max(len(finding.account) for finding in findings)
        for finding in findings:
            typer.echo(f"{finding.account:<{width}}  {'ok  ' if finding.ok else 'FAIL'}  {finding.words}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(EXIT_UNFIT)


def _configured(config: Path) -> "tuple[Account, ...]":
    from broker.settings import load

    try:
        return load(config).accounts
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_REFUSED) from None


def _facts(account: "Account") -> dict[str, object]:
    return {
        "name": account.name,
        "provider": account.provider,
        "protocol": account.protocol,
        "base_url": account.base_url,
        "models": dict(account.models),
        "limits": _limits(account),
        "limit_group": account.group,
        "charge_mode": account.charge_mode.value,
        "workers": account.workers,
        "worker_concurrency": account.worker_concurrency,
        "secret": account.secret,
        "secret_problem": _secret_problem(account),
        "licence": account.licence,
    }


def _row(account: "Account") -> tuple[str, ...]:
    from rich.markup import escape

    models = ", ".join(ours if ours == theirs else f"{ours} → {theirs}" for ours, theirs in account.models.items())
    limits = ", ".join(
        f"{value:,g} {name.replace('_per_', '/').replace('_', ' ')}"
        for name, value in _limits(account).items()
        if name != "concurrency"
    )
    problem = _secret_problem(account)
    key = "none" if account.secret is None else f"{account.secret} ({problem or 'set'})"
    cells = (account.name, account.provider, models, limits or "unknown", account.group, _slots(account), key)
    return tuple(escape(cell) for cell in cells)


def _limits(account: "Account") -> dict[str, float]:
    from dataclasses import asdict

    return {name: value for name, value in asdict(account.limits).items() if value is not None}


def _slots(account: "Account") -> str:
    """Give the declared limit, else what the workers can have in flight."""
    if account.limits.concurrency is not None:
        return str(account.limits.concurrency)
    return f"up to {account.workers * account.worker_concurrency}"


def _secret_problem(account: "Account") -> str | None:
    from broker.secrets import read_secret

    if account.secret is None:
        return None
    try:
        read_secret(account.secret)
    except ConfigError as error:
        return str(error)
    return None
