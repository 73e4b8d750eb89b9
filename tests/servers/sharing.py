"""One server for all test processes of a run: the first to need it starts it and, at its end, waits for the others."""

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def shared(folder: Path, name: str, start: Callable[[ExitStack], dict[str, str]]) -> Iterator[dict[str, str]]:
    """Give what `start` returned in whichever process came first; undo it when nobody uses it any more."""
    facts = folder / f"{name}.json"
    with ExitStack() as stack:
        starting = stack.enter_context((folder / f"{name}.starting").open("w"))
        users = stack.enter_context((folder / f"{name}.users").open("w"))
        with _locked(starting):
            # Waits for whoever is just undoing it; then there are no facts, and it is started afresh
            fcntl.flock(users, fcntl.LOCK_SH)
            if not facts.exists():
                found = start(stack)
                facts.write_text(json.dumps(found))
                stack.callback(_forget_when_unused, facts, users)
        yield json.loads(facts.read_text())


def _forget_when_unused(facts: Path, users: IO[str]) -> None:
    fcntl.flock(users, fcntl.LOCK_UN)  # so that two who wait do not wait for each other
    fcntl.flock(users, fcntl.LOCK_EX)
    facts.unlink()


@contextmanager
def _locked(file: IO[str]) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
