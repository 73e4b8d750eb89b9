"""Options and arguments that several commands take."""

import re
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_CONFIG = Path("penstock.toml")
DEFAULT_DATABASE = "sqlite:///penstock.db"
_PASSWORDS = re.compile(r"(?<=://)([^:/@?]*):[^@]*(?=@)|(?<=[?&]password=)[^&]*")

ConfigPath = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration.")]

DatabaseUrl = Annotated[
    str,
    typer.Option("--database", metavar="URL", help="sqlite:///PATH (relative to this folder) or postgresql://…"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
BatchId = Annotated[int, typer.Argument(metavar="BATCH", help="Its number; `penstock batches` lists them.")]


def without_password(url: str) -> str:
    """A database URL that may be shown."""
    return _PASSWORDS.sub(r"\1", url)
