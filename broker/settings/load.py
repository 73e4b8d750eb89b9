"""Reads `penstock.toml`."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from broker.domain.account import Account
from broker.domain.outcome import RetryPolicy
from broker.errors import ConfigError
from broker.settings.positions import lines_of, nearest_line
from broker.settings.problems import problems_of, refusal
from broker.settings.resolve import anchored, resolve
from broker.settings.schema import BrokerSection, Document, RetriesSection

_SYNTAX = re.compile(r"^(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """The servers of a fleet, by URL or by reference to one; read one with `broker.secrets.read_url`."""

    file: str
    database: str | None
    rabbitmq: str | None
    redis: str | None
    prefix: str
    spool: Path | None
    projects: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a user configures, resolved against the catalog."""

    accounts: tuple[Account, ...]
    retry_policy: RetryPolicy
    key_origins: Mapping[str, str]
    """Where each account's `api_key` stands, as `file:line`, by account name."""
    broker: BrokerSettings


def load(path: Path) -> Settings:
    """Read the settings in that file; raises `ConfigError`, which lists every problem. Reads no secret."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; `penstock init` writes one") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read: {reason}") from error
    return parse(text, path)


def parse(text: str, path: Path) -> Settings:
    """Read the settings in a text; `path` is its name in errors, and relative key files start at its folder."""
    file = str(path)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax(file, text, str(error))) from error
    lines = lines_of(text)
    try:
        document = Document.model_validate(raw)
    except ValidationError as error:
        # The cause holds the values that were refused, and a key may be one of them: it must reach no traceback.
        raise refusal(file, lines, problems_of(error)) from None
    accounts, problems = resolve(document.accounts, document.providers, path.absolute().parent)
    if problems:
        raise refusal(file, lines, problems)
    origins = {
        account.name: f"{file}:{nearest_line(lines, ('accounts', index, 'api_key'))}"
        for index, account in enumerate(accounts)
    }
    return Settings(
        accounts=accounts,
        retry_policy=_retry_policy(document.run.retries),
        key_origins=origins,
        broker=_broker(document.broker, path),
    )


def _broker(section: BrokerSection, path: Path) -> BrokerSettings:
    folder = path.absolute().parent
    return BrokerSettings(
        file=str(path),
        database=anchored(section.database, folder),
        rabbitmq=anchored(section.rabbitmq, folder),
        redis=anchored(section.redis, folder),
        prefix=section.prefix,
        spool=None if section.spool is None else folder / Path(section.spool).expanduser(),
        projects=section.projects,
    )


def _retry_policy(retries: RetriesSection) -> RetryPolicy:
    return RetryPolicy(
        transient_tries=retries.transient + 1, malformed_retries=retries.malformed, unknown_retries=retries.unknown
    )


def _syntax(file: str, text: str, message: str) -> str:
    found = _SYNTAX.match(message)
    if found is None:
        return f"{file}: not valid TOML: {message}"
    line = found["line"] or text.count("\n") + 1
    return (
        f"{file}:{line}: not valid TOML: {found['what']}; "
        "text belongs in quotes, brackets must be closed, and a { … } table stays on one line"
    )
