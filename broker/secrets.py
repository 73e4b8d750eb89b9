"""Reads secrets from where a reference points, and is the one place that looks at the environment."""

import os
import stat
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from broker.errors import ConfigError
from broker.redaction import Secret

MAX_FILE_BYTES = 64 * 1024
_ENVIRONMENT = os.environ  # noqa: TID251 - this module is its one home
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def read_secret(reference: str, environment: Mapping[str, str] = _ENVIRONMENT) -> Secret:
    """Read the secret that `env:NAME` or `file:PATH` points at, without surrounding white space.

    Raises `ConfigError` with the remedy when it is not there, empty, or cannot be a key. A file that others may
    read is accepted (mounted secrets often are world-readable in their container), one that others may write is not.
    """
    scheme, _, rest = reference.partition(":")
    if scheme == "env":
        return _checked(environment.get(rest, ""), f"environment variable {rest}", f"export {rest}=…")
    if scheme == "file":
        return _checked(_content(Path(rest)), f"file {rest}", "write the key into it")
    raise ConfigError('a secret is referred to as "env:NAME" or "file:/path"')


def read_url(reference: str, environment: Mapping[str, str] = _ENVIRONMENT) -> str:
    """Read the URL that `env:NAME` or `file:PATH` points at; any other text is the URL itself.

    What this returns may hold a password. Raises `ConfigError` like `read_secret`.
    """
    if reference.startswith(("env:", "file:")):
        return read_secret(reference, environment).reveal()
    return reference


def variable_of(reference: str | None) -> str | None:
    """Name the environment variable that a reference points at; `None` where it points at none."""
    return reference.removeprefix("env:") if reference is not None and reference.startswith("env:") else None


def environment_without(names: Collection[str], environment: Mapping[str, str] = _ENVIRONMENT) -> dict[str, str]:
    """Copy the environment for a process that may not know these variables."""
    return {name: value for name, value in environment.items() if name not in names}


def inherited_descriptor(name: str, environment: Mapping[str, str] = _ENVIRONMENT) -> int | None:
    """Give the number of the open file that whoever started this process left for it under that name."""
    number = environment.get(name, "")
    return int(number) if number.isascii() and number.isdigit() else None


def names_set(names: Iterable[str], environment: Mapping[str, str] = _ENVIRONMENT) -> frozenset[str]:
    """Give those of the environment variables that are set to something."""
    return frozenset(name for name in names if environment.get(name, "").strip())


def state_home(environment: Mapping[str, str] = _ENVIRONMENT) -> Path:
    """Give the user's folder for what must outlast a process: `XDG_STATE_HOME`, which counts only if absolute."""
    named = Path(environment.get("XDG_STATE_HOME", ""))
    return named if named.is_absolute() else Path.home() / ".local" / "state"


def _checked(value: str, source: str, remedy: str) -> Secret:
    key = value.strip()
    if not key:
        raise ConfigError(f"{source} is not set or empty; {remedy}")
    if not key.isascii() or not key.isprintable():
        raise ConfigError(f"{source} holds something that cannot be a key (line breaks or non-ASCII); {remedy}")
    return Secret(key)


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError(f"{path} is not a regular file; point at the file that holds the key")
            if status.st_mode & _WRITABLE_BY_OTHERS:
                raise ConfigError(f"{path} may be changed by other users; run `chmod go-w {path}`")
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; check the path and its permissions") from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_FILE_BYTES} bytes, so it is no key file")
    return content.decode("utf-8", errors="replace")
