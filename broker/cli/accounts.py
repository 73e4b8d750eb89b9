"""`penstock accounts`: lists the configured accounts, and tries each with one tiny call."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.commands import Exit
from broker.cli.options import DEFAULT_CONFIG, DEFAULT_DATABASE, AsJson, ConfigPath, DatabaseUrl
from broker.errors import BrokerError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.cli.account_check import Finding
    from broker.domain.account import Account
    from broker.store.standing import LastCall

_COLUMNS = ("name", "provider", "models", "limits", "group", "concurrency", "key", "state")

accounts_app = typer.Typer(help="The configured accounts.")


@accounts_app.callback(invoke_without_command=True)
def accounts(
    context: typer.Context,
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    database: DatabaseUrl = DEFAULT_DATABASE,
    as_json: AsJson = False,
) -> None:
    """List the configured accounts, unless a command is given."""
    if context.invoked_subcommand is None:
        list_accounts(config=config, database=database, as_json=as_json)
        return
    if (config, database, as_json) != (DEFAULT_CONFIG, DEFAULT_DATABASE, False):
        raise typer.BadParameter(f"options of `{context.invoked_subcommand}` go behind it")


@accounts_app.command("list")
def list_accounts(
    *, config: ConfigPath = DEFAULT_CONFIG, database: DatabaseUrl = DEFAULT_DATABASE, as_json: AsJson = False
) -> None:
    """Show every account with its models, its limits, whether its key can be read, and how its last call ended.

    `concurrency` is what a run has in flight. `state` is what the database says of the account's latest call: `ok`,
    or the class of its error.
    """
    import asyncio

    found = _configured(config)
    last = asyncio.run(_last_calls(database))
    if as_json:
        facts = [_facts(account) | {"last_call": _last_facts(last.get(account.name))} for account in found]
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    from broker.cli.tables import print_table

    print_table(_COLUMNS, [(*_row(account), _state(last.get(account.name))) for account in found])


@accounts_app.command("check")
def check(
    names: Annotated[list[str] | None, typer.Argument(help="Accounts to check; all when none is named.")] = None,
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Make one tiny real call per account, and say what is wrong and what to do about it.

    A server of your own is also asked what it is: its version, its models, their context window and its slots.
    """
    import asyncio

    from broker.cli.account_check import check_accounts
    from broker.domain.clock import SystemClock

    found = _configured(config)
    unknown = set(names or ()) - {account.name for account in found}
    if unknown:
        known = ", ".join(account.name for account in found)
        typer.echo(f"no account {', '.join(sorted(unknown))} in {config}; its accounts are {known}", err=True)
        raise typer.Exit(Exit.REFUSED)
    chosen = [account for account in found if not names or account.name in names]
    findings = asyncio.run(check_accounts(chosen, SystemClock()))
    if as_json:
        typer.echo(json.dumps([_found(finding) for finding in findings], indent=2, ensure_ascii=False))
    else:
        width = max(len(finding.account) for finding in findings)
        for finding in findings:
            typer.echo(f"{finding.account:<{width}}  {'ok  ' if finding.ok else 'FAIL'}  {finding.words}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(Exit.SOME_FAILED)


def _found(finding: "Finding") -> dict[str, object]:
    server = finding.server
    about = None
    if server is not None:
        about = {
            "engine": server.engine,
            "version": server.version,
            "models": sorted(server.models),
            "lists_all": server.lists_all,
            "context_windows": dict(server.context_windows),
            "slots": server.slots,
        }
    return {
        "account": finding.account,
        "model": finding.model,
        "ok": finding.ok,
        "words": finding.words,
        "server": about,
    }


def _configured(config: Path) -> "tuple[Account, ...]":
    from broker.settings import load

    try:
        return load(config).accounts
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(Exit.REFUSED) from None


async def _last_calls(url: str) -> "Mapping[str, LastCall]":
    """How each account's latest call ended; a database that nobody named need not be there."""
    from broker.cli.opened import existing
    from broker.store.standing import last_calls

    try:
        async with existing(url) as database:
            return await database.read(last_calls)
    except BrokerError:
        if url != DEFAULT_DATABASE:
            raise
        return {}


def _last_facts(last: "LastCall | None") -> dict[str, object] | None:
    return None if last is None else {"error_class": last.error_class, "ago_s": round(last.ago_s, 3)}


def _state(last: "LastCall | None") -> str:
    from broker.cli.figures import duration

    return "-" if last is None else f"{last.error_class or 'ok'}, {duration(last.ago_s)} ago"


def _facts(account: "Account") -> dict[str, object]:
    return {
        "name": account.name,
        "provider": account.provider,
        "protocols": list(account.protocols),
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
    models = ", ".join(ours if ours == theirs else f"{ours} → {theirs}" for ours, theirs in account.models.items())
    limits = ", ".join(
        f"{value:,g} {name.replace('_per_', '/').replace('_', ' ')}"
        for name, value in _limits(account).items()
        if name != "concurrency"
    )
    problem = _secret_problem(account)
    key = "none" if account.secret is None else f"{account.secret} ({problem or 'set'})"
    return (account.name, account.provider, models, limits or "unknown", account.group, _slots(account), key)


def _limits(account: "Account") -> dict[str, float]:
    from dataclasses import asdict

    return {name: value for name, value in asdict(account.limits).items() if value is not None}


def _slots(account: "Account") -> str:
    """Give what the one worker that a run has for each account can have in flight."""
    if account.limits.concurrency is not None:
        return str(min(account.limits.concurrency, account.worker_concurrency))
    return f"up to {account.worker_concurrency}"


def _secret_problem(account: "Account") -> str | None:
    from broker.secrets import read_secret

    if account.secret is None:
        return None
    try:
        read_secret(account.secret)
    except ConfigError as error:
        return str(error)
    return None
