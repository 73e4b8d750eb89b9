"""The group that all commands are in: whatever goes wrong in one ends with a message and an exit status."""

import errno
from enum import IntEnum
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from broker.errors import BrokerError


class Exit(IntEnum):
    """Exit statuses."""

    OK = 0
    SOME_FAILED = 1
    """Some rows did not succeed, or a run that had begun could not go on."""
    REFUSED = 2
    """Bad input or configuration: nothing was started."""
    INTERRUPTED = 130


class Commands(TyperGroup):
    """Runs a command; no error leaves it as a traceback, unless that is what was asked for."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            reader_is_gone = isinstance(error, OSError) and error.errno == errno.EPIPE
            if _is_typers(error) or reader_is_gone or ctx.params.get("show_traceback"):
                raise
            cause = leaf(error)
            typer.echo(in_words(cause), err=True)
            expected = isinstance(cause, BrokerError | OSError)
            raise typer.Exit(Exit.REFUSED if expected else Exit.SOME_FAILED) from None


def leaf(error: Exception) -> Exception:
    """The error itself out of the groups that tasks wrap it in; a defect before those that people can mend."""
    if not isinstance(error, ExceptionGroup):
        return error
    leaves = [leaf(inner) for inner in error.exceptions]
    return min(leaves, key=lambda inner: isinstance(inner, BrokerError))


def in_words(error: Exception) -> str:
    """One message for people, whatever it is."""
    if isinstance(error, BrokerError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename or 'input or output'}: {error.strerror or error}"
    where = _origin(error)
    return (
        f"a defect of penstock: {type(error).__name__}: {error} ({where}); "
        "`penstock --traceback …` shows more; please report it"
    )


def _origin(error: Exception) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    if frame is None:
        return "nowhere"
    return f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"


def _is_typers(error: Exception) -> bool:
    """Its own ways to end a command: an exit status, or a message about the arguments."""
    return isinstance(error, typer.Exit | typer.Abort) or hasattr(error, "exit_code")
