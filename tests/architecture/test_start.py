"""The command starts quickly: nothing is loaded before the command that needs it is known."""

import subprocess
import sys

import pytest

HEAVY = {
    "aiohttp", "alembic", "asyncio", "asyncpg", "genai_prices", "orjson", "pydantic", "rich", "sqlalchemy", "uvloop",
    "zstandard",
}  # fmt: skip
_HELP = """
import contextlib, io
from broker.cli.app import app
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    app({arguments!r}, prog_name='penstock')
""".strip()


def loaded(code: str) -> set[str]:
    program = f"{code}\nimport sys\nprint(' '.join({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_commands_loads_nothing_that_they_work_with() -> None:
    assert not loaded("import broker.cli.app") & HEAVY


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_loads_nothing_but_what_draws_it(arguments: list[str]) -> None:
    assert not loaded(_HELP.format(arguments=arguments)) & (HEAVY - {"rich"})


def test_help_of_a_command_loads_what_reads_arguments_besides() -> None:
    """typer itself checks the values of a command's options with pydantic."""
    assert not loaded(_HELP.format(arguments=["run", "--help"])) & (HEAVY - {"rich", "pydantic"})
