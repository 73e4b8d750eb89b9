"""Options and arguments that several commands take."""

from typing import Annotated

import typer

DEFAULT_DATABASE = "sqlite:///penstock.db"

DatabaseUrl = Annotated[
    str,
    typer.Option("--database", metavar="URL", help="sqlite:///PATH (relative to this folder) or postgresql://…"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
BatchId = Annotated[int, typer.Argument(metavar="BATCH", help="Its number; `penstock batches` lists them.")]
