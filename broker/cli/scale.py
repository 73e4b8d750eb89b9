"""`penstock scale`: how many worker processes the fleet runs, while it runs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.options import DEFAULT_CONFIG, DEFAULT_DATABASE, AsJson, ConfigPath, DatabaseUrl
from broker.errors import CallerError

if TYPE_CHECKING:
    from broker.domain.account import Account
    from broker.domain.presence import Presence

MOST_PROCESSES = 256
_WITHDRAW = frozenset({"auto", "default"})


def scale(
    numbers: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME=NUMBER",
            help="Processes for an account; 0 stops it, `default` or `auto` goes back to the configuration.",
        ),
    ] = None,
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    database: DatabaseUrl = DEFAULT_DATABASE,
    as_json: AsJson = False,
) -> None:
    """Set how many worker processes accounts have. The fleet looks each second; without numbers, show what runs.

    Processes beyond the number finish their calls first. The number stays, also when the fleet is started again, until
    it is taken back; it goes before `workers` and `autoscale` of the configuration. Each fleet starts so many.
    """
    import asyncio

    from broker.secrets import read_url
    from broker.settings import load

    settings = load(config)
    if database == DEFAULT_DATABASE and settings.broker.database is not None:
        database = read_url(settings.broker.database)
    wanted = read_numbers(numbers or (), config, [account.name for account in settings.accounts])
    asked, present = asyncio.run(_exchange(database, wanted))
    if as_json:
        facts = [_facts(account, asked, present) for account in settings.accounts]
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
    elif wanted:
        for name, number in wanted.items():
            typer.echo(f"{name}: {_asked_words(number)}")
    else:
        _print(settings.accounts, asked, present)


def read_numbers(texts: Sequence[str], config: Path, known: Sequence[str]) -> dict[str, int | None]:
    """Read `NAME=NUMBER` and the like; all of them, or `CallerError`. `None` takes a number back."""
    wanted: dict[str, int | None] = {}
    for text in texts:
        name, equals, number = text.rpartition("=")
        if not equals:
            raise CallerError(f"{text}: write NAME=NUMBER, like {text}=4")
        if name not in known:
            raise CallerError(f"no account {name} in {config}; its accounts are {', '.join(known)}")
        if name in wanted:
            raise CallerError(f"{name}: named twice; say one number")
        wanted[name] = _number(name, number)
    return wanted


def _number(name: str, text: str) -> int | None:
    if text in _WITHDRAW:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) > MOST_PROCESSES:
        raise CallerError(f"{name}={text}: the number must be 0 to {MOST_PROCESSES}, or `default`")
    return int(text)


async def _exchange(
    url: str, wanted: Mapping[str, int | None]
) -> "tuple[Mapping[str, int], Mapping[str, Sequence[Presence]]]":
    """Write what is wanted; then read what was asked for, and who is there, by account."""
    from broker.cli.opened import existing
    from broker.store import scales

    async with existing(url) as database:
        if wanted:
            await database.write(scales.ask, wanted)
        asked = await database.read(scales.asked)
        present: dict[str, list[Presence]] = {}
        for one in await database.read(scales.present):
            present.setdefault(one.account, []).append(one)
        return asked, present


def _asked_words(number: int | None) -> str:
    match number:
        case None:
            return "as the configuration says"
        case 0:
            return "no processes; what runs finishes its calls"
        case _:
            return f"{number} process{'es' if number > 1 else ''}"


def _facts(
    account: "Account", asked: Mapping[str, int], present: "Mapping[str, Sequence[Presence]]"
) -> dict[str, object]:
    from dataclasses import asdict

    running = present.get(account.name, ())
    return {
        "name": account.name,
        "workers": account.workers,
        "autoscale": None if account.autoscale is None else asdict(account.autoscale),
        "asked": asked.get(account.name),
        "running": len(running),
        "in_flight": sum(one.in_flight for one in running),
        "processes": [
            {"in_flight": one.in_flight, "slots": one.slots, "busy": one.busy, "waits_for": one.waits_for}
            for one in running
        ],
    }


def _print(
    accounts: "Sequence[Account]", asked: Mapping[str, int], present: "Mapping[str, Sequence[Presence]]"
) -> None:
    from broker.cli.reasons import wait_in_words
    from broker.cli.tables import print_table

    rows = []
    for account in accounts:
        running = present.get(account.name, ())
        slots = [one.slots for one in running if one.slots is not None]
        in_flight = sum(one.in_flight for one in running)
        waits = sorted({wait_in_words(one.waits_for) for one in running if one.waits_for})
        rows.append(
            (
                account.name,
                _configured(account),
                str(asked.get(account.name, "-")),
                str(len(running)),
                f"{in_flight}/{sum(slots)}" if slots else str(in_flight),
                ", ".join(waits) or "-",
            )
        )
    columns = ("account", "configured", "asked", "running", "in flight", "state")
    print_table(columns, rows, figures=("asked", "running", "in flight"))


def _configured(account: "Account") -> str:
    if account.autoscale is None:
        return str(account.workers)
    return f"{account.autoscale.min} to {account.autoscale.max}"
