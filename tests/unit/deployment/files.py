"""The files of a deployment as values, and our own command line as their judge."""

import re
from pathlib import Path
from typing import Any

import typer
import yaml

from broker.cli.app import app

ROOT = Path(__file__).resolve().parents[3]
REFERENCE = re.compile(r"(?:file|env):\S+")
_UNITS = {"s": 1, "m": 60, "h": 3600}


def documents(path: Path) -> list[dict[str, Any]]:
    """Every document of a YAML file."""
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def options(arguments: list[str]) -> dict[str, Any]:
    """Read `penstock ARGUMENTS` as the command itself does, and give its options; fails for what it would refuse."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("penstock", list(arguments), resilient_parsing=True)
    rest = list(arguments)
    while hasattr(command, "commands"):
        name = rest.pop(0)
        command = command.commands[name]
    context = command.context_class(command, info_name="penstock", parent=context)
    given, left, _ = command.make_parser(context).parse_args(rest)
    assert not left, f"{arguments}: {left} are too many"
    missing = [one.name for one in command.params if one.required and one.name not in given]
    assert not missing, f"{arguments}: {missing} are missing"
    return dict(given)


def seconds(text: str) -> int:
    """A duration as Compose writes it: one number and one unit."""
    return int(text[:-1]) * _UNITS[text[-1]]
