"""Options and arguments that several commands take."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.domain.dialect import Dialect
from broker.domain.loss import OnLoss

if TYPE_CHECKING:
    from broker.intake.options import InputOptions

DEFAULT_CONFIG = Path("penstock.toml")
DEFAULT_DATABASE = "sqlite:///penstock.db"
_PASSWORDS = re.compile(r"(?<=://)([^:/@?]*):[^@]*(?=@)|(?<=[?&]password=)[^&]*")


def _database(url: str) -> str:
    """Give the database that is meant: what was said, else the fleet's in this folder's configuration."""
    from broker.secrets import read_url

    if url == DEFAULT_DATABASE and DEFAULT_CONFIG.is_file():
        url = _of_the_fleet() or url
    return read_url(url)


def _of_the_fleet() -> str | None:
    """Look for `[broker] database` only: a mistake elsewhere in the file is for those who use that part."""
    import tomllib

    try:
        section = tomllib.loads(DEFAULT_CONFIG.read_text(encoding="utf-8-sig")).get("broker")
    except (OSError, ValueError):
        return None
    found = section.get("database") if isinstance(section, dict) else None
    return found if isinstance(found, str) else None


ConfigPath = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration.")]

DatabaseUrl = Annotated[
    str,
    typer.Option(
        "--database",
        metavar="URL",
        envvar="PENSTOCK_DATABASE",
        callback=_database,
        help="sqlite:///PATH, postgresql://…, env:NAME or file:PATH; default: the fleet's of ./penstock.toml.",
    ),
]
EmbeddedDatabaseUrl = Annotated[
    str,
    typer.Option("--database", metavar="URL", help="sqlite:///PATH (relative to this folder) or postgresql://…"),
]
HealthAddress = Annotated[
    str | None,
    typer.Option("--health", metavar="HOST:PORT", help="Say there over HTTP how it stands: /livez and /readyz."),
]
DialectOption = Annotated[
    Dialect | None,
    typer.Option(
        "--dialect",
        help="The language of the requests; default: the first row tells. Those of openai are also what rows without "
        "a url ask for.",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="MODEL", help="The model of rows that name none; a row that names another one is refused."
    ),
]
OnLossOption = Annotated[
    OnLoss,
    typer.Option(
        "--on-loss",
        help="Where an account's protocol cannot express all of a row: fail it before any call, or send it without, "
        "which its result then says.",
    ),
]
UseOption = Annotated[
    str | None,
    typer.Option(
        "--use",
        metavar="LICENCE",
        help="What the answers are for, non-commercial for example: accounts with just that licence may serve it, too.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
BatchId = Annotated[int, typer.Argument(metavar="BATCH", help="Its number; `penstock batches` lists them.")]


def input_options(dialect: Dialect | None, model: str | None, on_loss: OnLoss, use: str | None) -> "InputOptions":
    """What is said of an input beside its content; raises `CallerError` for what cannot be said."""
    from broker.intake.options import InputOptions

    given = InputOptions(dialect=dialect, model=model, on_loss=on_loss, use=use)
    given.check()
    return given


def without_password(url: str) -> str:
    """A database URL that may be shown."""
    return _PASSWORDS.sub(r"\1", url)
