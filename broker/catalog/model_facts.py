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
class _Group:
    """Facts of all models whose name fits one of the patterns."""

    patterns: tuple[tuple[int, re.Pattern[str]], ...]
    """With their lengths, stars not counted."""
    facts: Facts
    by_dialect: Mapping[Dialect, Facts]

    def fit(self, name: str) -> int:
        """The length of the longest pattern that fits; 0: none does."""
        return max((length for length, pattern in self.patterns if pattern.match(name)), default=0)


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
    fitting = sorted((fit, place) for place, group in enumerate(_groups()) if (fit := group.fit(name)))
    found: dict[str, object] = {}
    for _, place in fitting:
        found |= _groups()[place].facts
        found |= _groups()[place].by_dialect.get(dialect, {})
    return found


def plain_name(model: str) -> str:
    """A model's name without where it is kept, who published it, and how it is to be served.

    `accounts/fireworks/models/gpt-oss-20b`, `openai.gpt-oss-20b-1:0` and `openai/gpt-oss-20b:fastest` are all called
    `gpt-oss-20b` at their beginning.
    """
    name = model.lower().rpartition("/")[2].partition(":")[0]
    return _PUBLISHER.sub("", name, count=1)


@cache
def _groups() -> tuple[_Group, ...]:
    text = files("broker.catalog").joinpath("models.toml").read_text(encoding="utf-8")
    return tuple(map(_group, tomllib.loads(text)["group"]))


def _group(table: Mapping[str, Any]) -> _Group:
    special = dict(_by_dialect(table))
    general = {name: value for name, value in table.items() if name != "names" and name not in special}
    return _Group(
        patterns=tuple((len(name.replace("*", "")), re.compile(translate(name))) for name in table["names"]),
        facts=facts_of_caps(general),
        by_dialect=special,
    )


def _by_dialect(table: Mapping[str, Any]) -> Iterator[tuple[Dialect, Facts]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield Dialect(name), facts_of_caps(value)
