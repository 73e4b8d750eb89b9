"""All commands, registered."""

import os
import sys
from typing import Annotated

import typer

from broker.cli.accounts import accounts_app
from broker.cli.batches import batches, cancel, status
from broker.cli.commands import Commands
from broker.cli.database import database_app
from broker.cli.fleet import fleet
from broker.cli.init import init
from broker.cli.pausing import pause, resume, seal
from broker.cli.provider_sim import provider_sim
from broker.cli.results import results
from broker.cli.retry import retry
from broker.cli.run import run
from broker.cli.scale import scale
from broker.cli.serve import serve
from broker.cli.submit import submit
from broker.cli.translate import parse, translate
from broker.cli.usage import usage
from broker.cli.worker import worker

app = typer.Typer(
    name="penstock",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"penstock {version('penstock')}")
        raise typer.Exit


@app.callback()
def penstock(
    *,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True)
    ] = False,
    show_traceback: Annotated[
        bool, typer.Option("--traceback", help="Show where an error came from, for a report of a defect.")
    ] = False,
) -> None:
    """A batch inference broker: drains LLM jobs through a pool of accounts at exactly the rate each allows.

    Begin with `penstock init`, which writes penstock.toml from the keys in your environment, then
    `penstock accounts check` and `penstock run JOBS --output OUT`.
    """


app.command()(run)
app.command()(submit)
app.command()(batches)
app.command()(status)
app.command()(results)
app.command()(pause)
app.command()(resume)
app.command()(seal)
app.command()(cancel)
app.command()(retry)
app.command()(usage)
app.command()(fleet)
app.command()(scale)
app.command()(serve)
app.command()(worker)
app.command()(translate)
app.command()(parse)
app.command()(init)
app.add_typer(accounts_app, name="accounts")
app.add_typer(database_app, name="db")
app.command("provider-sim")(provider_sim)


def main() -> None:
    """Run the command line."""
    _open_closed_streams()
    sys.exit(app())


def _open_closed_streams() -> None:
    """Put the null device where whoever started us closed a standard stream: no other file may get its number."""
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: PTH123, SIM115  # for as long as the process lives
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115
