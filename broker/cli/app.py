"""All commands, registered."""

import sys

import typer

from broker.cli.accounts import accounts_app
from broker.cli.init import init
from broker.cli.provider_sim import provider_sim
from broker.cli.run import run

app = typer.Typer(
    name="penstock",
    help="A batch inference broker: drains LLM jobs through a pool of accounts at exactly the rate each allows.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(run)
app.command()(init)
app.add_typer(accounts_app, name="accounts")
app.command("provider-sim")(provider_sim)


def main() -> None:
    """Run the command line."""
    sys.exit(app())
