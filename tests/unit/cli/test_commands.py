import errno

import pytest
import typer
from typer.testing import CliRunner

from broker.cli.commands import Commands, Exit, in_words, leaf
from broker.cli.reference import markdown
from broker.errors import AccountError, CallerError, StoreUnavailable


def ended_with(error: BaseException) -> tuple[int, str]:
    app = typer.Typer(cls=Commands, pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        raise error

    @app.command()
    def other() -> None:
        """Make the first a command of a group."""

    result = CliRunner().invoke(app, ["fail"])
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (CallerError("the input is bad"), 2, "the input is bad\n"),
        (ExceptionGroup("g", [ExceptionGroup("h", [AccountError("no account")])]), 2, "no account\n"),
        (OSError(errno.ENOSPC, "No space left on device", "out.jsonl"), 2, "out.jsonl: No space left on device\n"),
        (typer.Exit(7), 7, ""),
    ],
)
def test_an_error_is_a_message_and_a_status(error: Exception, code: int, words: str) -> None:
    assert ended_with(error) == (code, words)


def test_a_defect_names_its_place_and_shows_no_traceback() -> None:
    code, words = ended_with(ExceptionGroup("g", [StoreUnavailable("gone"), KeyError("x")]))
    assert code == Exit.SOME_FAILED
    assert words.startswith("a defect of penstock: KeyError: 'x' (")
    assert "Traceback" not in words


def test_the_leaf_of_groups_is_the_defect_if_there_is_one() -> None:
    defect, known = ValueError("d"), CallerError("k")
    assert leaf(ExceptionGroup("g", [known, ExceptionGroup("h", [defect])])) is defect
    assert leaf(ExceptionGroup("g", [known])) is known
    assert leaf(known) is known
    assert in_words(known) == "k"


def test_every_command_is_in_the_reference_with_words() -> None:
    page = markdown()
    for command in ("run", "batches", "status", "results", "cancel", "usage", "init", "db upgrade", "accounts check"):
        assert f"## `penstock {command}`" in page
    for line in page.splitlines():
        assert not line.endswith("|  |"), line
