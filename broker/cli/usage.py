"""`penstock usage`: tokens and money by whatever they are kept by."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli.options import DEFAULT_DATABASE, AsJson, DatabaseUrl

if TYPE_CHECKING:
    from broker.domain.totals import Dimension, UsageLine

_CHOICES = "project, tag, batch, account, provider, model, day"


def usage(
    *,
    by: Annotated[
        str, typer.Option("--by", metavar="KEYS", help=f"Sum by these, with commas between them: {_CHOICES}.")
    ] = "account,model",
    database: DatabaseUrl = DEFAULT_DATABASE,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Print calls, tokens and cost.

    A sum holds every call that has reported, also the failed and the repeated ones. `unknown` counts calls that ended
    without an answer: they may have been paid for, and are in no sum. `unpriced` calls are missing from the cost. Days
    are in UTC; `model` is the name at the provider.
    """
    import asyncio

    if as_json and as_csv:
        raise typer.BadParameter("choose one of --json and --csv", param_hint="--csv")
    dimensions = _dimensions(by)
    lines = asyncio.run(_lines(database, dimensions))
    names = [str(dimension) for dimension in dimensions]
    if as_json:
        typer.echo(json.dumps([_facts(names, line) for line in lines], indent=2, ensure_ascii=False))
    elif as_csv:
        _print_csv(names, lines)
    elif lines:
        _print_table(names, lines)
    else:
        typer.echo("nothing was called yet", err=True)


def _dimensions(given: str) -> "list[Dimension]":
    from broker.domain.totals import Dimension

    names = [name.strip() for name in given.split(",") if name.strip()]
    unknown = [name for name in names if name not in set(Dimension)]
    if unknown or not names:
        raise typer.BadParameter(f"{', '.join(unknown) or 'nothing'} is none of {_CHOICES}", param_hint="--by")
    return [Dimension(name) for name in dict.fromkeys(names)]


async def _lines(url: str, by: "Sequence[Dimension]") -> "list[UsageLine]":
    from broker.cli.opened import existing
    from broker.store.usage import usage_by

    async with existing(url) as database:
        return await database.read(usage_by, by)


def _facts(names: Sequence[str], line: "UsageLine") -> dict[str, Any]:
    from broker.accounting.reports import USAGE, plain

    return {
        **dict(zip(names, line.keys, strict=True)),
        "calls": line.totals.attempts,
        "unknown": line.unknown,
        **{name: getattr(line.totals, name) for name in USAGE},
        "cost": plain(line.totals.cost),
        "unpriced": line.totals.unpriced,
    }


def _print_csv(names: Sequence[str], lines: "Sequence[UsageLine]") -> None:
    import csv
    import sys

    from broker.domain.totals import Totals, UsageLine

    header = _facts(names, UsageLine(keys=tuple(names), totals=Totals(), unknown=0))
    writer = csv.DictWriter(sys.stdout, list(header), lineterminator="\n")
    writer.writeheader()
    writer.writerows(_facts(names, line) for line in lines)


def _print_table(names: Sequence[str], lines: "Sequence[UsageLine]") -> None:
    from broker.cli.tables import print_table

    figures = ("calls", "unknown", "input", "cached", "output", "reasoning", "cost", "unpriced")
    rows = [[*map(str, line.keys), *_figures(line)] for line in lines]
    if len(lines) > 1:
        rows.append(["total", *[""] * (len(names) - 1), *_figures(_total(lines))])
    print_table((*names, *figures), rows, figures=figures)


def _total(lines: "Sequence[UsageLine]") -> "UsageLine":
    from broker.domain.totals import Totals, UsageLine

    total, unknown = Totals(), 0
    for line in lines:
        total, unknown = total + line.totals, unknown + line.unknown
    return UsageLine(keys=(), totals=total, unknown=unknown)


def _figures(line: "UsageLine") -> list[str]:
    from broker.cli.figures import count, money

    totals = line.totals
    return [
        count(totals.attempts),
        count(line.unknown),
        count(totals.input_tokens),
        count(totals.cache_read_tokens),
        count(totals.output_tokens),
        count(totals.reasoning_tokens),
        money(totals.cost),
        count(totals.unpriced),
    ]
