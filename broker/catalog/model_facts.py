"""Looks up what models take, by their names: facts of the catalog, of the provider and of the operator."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import translate
from functools import cache
from importlib.resources import files
from typing import Any

from broker.domain.account import Account
from broker.domain.caps import facts_of_caps
from broker.domain.dialect import Dialect

_PUBLISHER = re.compile(r"(?:[a-z][a-z-]*\.)+(?=[a-z])")
"""What Amazon writes before a name: `us.anthropic.claude-…`."""

Facts = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """Facts of all models that a pattern fits."""

    pattern: re.Pattern[str]
    facts: Facts
    by_dialect: Mapping[Dialect, Facts]


def caps_overrides(account: Account, logical_model: str, dialect: Dialect) -> dict[str, object]:
    """What is known of a model of this account, by the fields of `Caps`; what is missing is as `Codec.caps` says.

    The operator knows best, then the provider, then the catalog: by the model's name at the provider, or by its
    logical one where that says nothing (a deployment may be called anything). Raises `KeyError` for a model that the
    account does not have.
    """
    theirs = account.models[logical_model]
    known = facts_by_name(theirs, dialect) or facts_by_name(logical_model, dialect)
    return {**known, **account.facts.caps, **account.caps.get(logical_model, {})}


@cache
def facts_by_name(model: str, dialect: Dialect) -> Facts:
    """What the catalog knows of a model as this dialect asks it; the longer of two patterns that fit knows better."""
    name = plain_name(model)
    found: dict[str, object] = {}
    for entry in _entries():
        if entry.pattern.match(name):
            found |= entry.facts
            found |= entry.by_dialect.get(dialect, {})
    return found


def plain_name(model: str) -> str:
    """A model's name without where it is kept, who published it, and how it is to be served.

    `accounts/fireworks/models/gpt-oss-20b`, `openai.gpt-oss-20b-1:0` and `openai/gpt-oss-20b:fastest` are all called
    `gpt-oss-20b` at their beginning.
    """
    name = model.lower().rpartition("/")[2].partition(":")[0]
    return _PUBLISHER.sub("", name, count=1)


@cache
def _entries() -> tuple[_Entry, ...]:
    text = files("broker.catalog").joinpath("models.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    return tuple(_entry(pattern, tables[pattern]) for pattern in sorted(tables, key=len))


def _entry(pattern: str, table: Mapping[str, Any]) -> _Entry:
    special = dict(_by_dialect(table))
    general = {name: value for name, value in table.items() if name not in special}
    return _Entry(pattern=re.compile(translate(pattern)), facts=facts_of_caps(general), by_dialect=special)


def _by_dialect(table: Mapping[str, Any]) -> Iterator[tuple[Dialect, Facts]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield Dialect(name), facts_of_caps(value)
