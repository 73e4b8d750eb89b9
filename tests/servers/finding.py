"""Tries the ways to get at a server, in order; when none works, says what each one lacked."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass


class Unavailable(Exception):
    """One way does not work here; the message says what it lacks."""


class NoServer(Exception):
    """No way works. Tests that need the server fail with this; they are never skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to get at a server."""

    label: str
    obtain: Callable[[ExitStack], str]
    """Returns a URL that answers, and leaves on the stack whatever must be stopped later; raises `Unavailable`."""


def obtain(server: str, ways: Sequence[Way], stack: ExitStack) -> str:
    """Return the URL of the first way that works."""
    lacking = []
    for way in ways:
        try:
            return way.obtain(stack)
        except Unavailable as reason:
            lacking.append(f"  {way.label}: {reason}")
    raise NoServer(f"these tests need {server}, and found none:\n" + "\n".join(lacking))
