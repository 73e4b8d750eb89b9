"""Writes docs/reference/cli.md from the commands themselves: python -m broker.cli.reference > docs/reference/cli.md."""

import inspect
import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import typer

from broker.cli.app import app

_HEAD = """# The command line

Written from the commands themselves by `python -m broker.cli.reference`; `penstock COMMAND --help` says the same.
"""


def markdown() -> str:
    """The whole page."""
    root: Any = typer.main.get_command(app)
    parts = [_HEAD, *_command("penstock", root)]
    return "\n".join(parts).rstrip() + "\n"


def _command(name: str, command: Any) -> Iterator[str]:
    """A command's section, then those of its own commands."""
    yield f"## `{name}`\n"
    yield inspect.cleandoc(command.help or "") + "\n"
    usage = [name, *(_placeholder(parameter) for parameter in command.params if _is_argument(parameter))]
    subcommands = getattr(command, "commands", {})
    if subcommands:
        usage.append("COMMAND")
    elif any(not _is_argument(parameter) for parameter in command.params):
        usage.append("[OPTIONS]")
    yield f"```\n{' '.join(usage)}\n```\n"
    if command.params:
        yield "| | Default | Meaning |\n| --- | --- | --- |"
        for parameter in command.params:
            yield f"| `{_spelled(parameter)}` | {_default(parameter)} | {_meaning(parameter)} |"
        yield ""
    for inner, subcommand in subcommands.items():
        yield from _command(f"{name} {inner}", subcommand)


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _placeholder(parameter: Any) -> str:
    name: str = (parameter.metavar or parameter.name.upper()).strip("[]")
    return name if parameter.required else f"[{name}]"


def _spelled(parameter: Any) -> str:
    if _is_argument(parameter):
        return _placeholder(parameter)
    names = ", ".join(sorted(parameter.opts, key=len))
    return names if parameter.is_flag else f"{names} {parameter.metavar or parameter.name.upper()}"


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    return "" if value is None or value is False or value == "" or callable(value) else f"`{value}`"


def _meaning(parameter: Any) -> str:
    kind = parameter.type_descriptor.annotation
    choices = (
        ", ".join(f"`{choice}`" for choice in kind) if isinstance(kind, type) and issubclass(kind, StrEnum) else ""
    )
    return f"{parameter.help or ''}{f' One of {choices}.' if choices else ''}"


if __name__ == "__main__":
    sys.stdout.write(markdown())
