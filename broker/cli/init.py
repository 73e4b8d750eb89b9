"""`penstock init`: writes a configuration from the keys found in the environment."""

from pathlib import Path
from typing import Annotated

import typer

from broker.cli.commands import Exit
from broker.cli.options import DEFAULT_CONFIG


def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = DEFAULT_CONFIG,
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Write a commented penstock.toml with one account for each provider whose key is in the environment."""
    from broker.catalog.lookup import providers
    from broker.catalog.starter import key_names, starter
    from broker.secrets import names_set

    found = names_set(key_names())
    text, accounts = starter(providers().values(), found)
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        typer.echo(f"{path} is already there; --force replaces it", err=True)
        raise typer.Exit(Exit.REFUSED) from None
    except OSError as error:
        typer.echo(f"{path} cannot be written: {error.strerror}", err=True)
        raise typer.Exit(Exit.REFUSED) from None
    typer.echo(f"wrote {path} with {', '.join(accounts)}")
    if not found:
        typer.echo(
            "no provider's key is in the environment, so this is the simulator: run `penstock provider-sim` beside it, "
            "or export a key and run `penstock init --force`"
        )
        return
    typer.echo("next: declare the limits of each account in it, then `penstock accounts check`")
