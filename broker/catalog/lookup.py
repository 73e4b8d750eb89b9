"""Looks providers up in the catalog that ships with the package."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

from broker.domain.account import ChargeMode
from broker.domain.attempt import ErrorClass, Scope
from broker.domain.caps import facts_of_caps
from broker.domain.dialect import OPENAI_FAMILY, Dialect
from broker.domain.provider import Check, HeaderDialect, ProbePage, ProviderFacts, Quirk


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """What is known of one provider; the fields are explained at the top of `providers.toml`."""

    name: str
    title: str
    base_url: str | None = None
    base_url_example: str | None = None
    key_env: tuple[str, ...] = ()
    needs_key: bool = True
    protocols: tuple[Dialect, ...] = OPENAI_FAMILY
    auth_header: str = "authorization"
    auth_scheme: str = "Bearer"
    headers: Mapping[str, str] = field(default_factory=dict)
    charge_mode: ChargeMode = ChargeMode.ACTUAL
    price_provider: str | None = None
    suggested_models: Mapping[str, str] = field(default_factory=dict)
    facts: ProviderFacts = field(default_factory=ProviderFacts)


@cache
def providers() -> Mapping[str, Provider]:
    """Give every provider by name, in the order of the catalog."""
    text = files("broker.catalog").joinpath("providers.toml").read_text(encoding="utf-8")
    return {name: provider_of(name, entry) for name, entry in tomllib.loads(text).items()}


def provider_of(name: str, entry: Mapping[str, Any]) -> Provider:
    """Read an entry of the catalog, or one of the same shape; raises `ValueError` or `TypeError` for any other."""
    facts = {key: value for key, value in entry.items() if key in _FACTS}
    rest = {key: value for key, value in entry.items() if key not in _FACTS}
    rest.setdefault("title", name)
    rest["key_env"] = tuple(rest.get("key_env", ()))
    rest["protocols"] = tuple(map(Dialect, rest.get("protocols", OPENAI_FAMILY)))
    rest["charge_mode"] = ChargeMode(rest.get("charge_mode", ChargeMode.ACTUAL))
    return Provider(name=name, **rest, facts=_facts(facts))


def find(name: str) -> Provider | None:
    """Give the provider of that name, `None` when the catalog does not have it."""
    return providers().get(name)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Give the known name that a typing error most likely meant."""
    close = get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return close[0] if close else None


_FACTS = frozenset(fact.name for fact in fields(ProviderFacts))


def _facts(entry: Mapping[str, Any]) -> ProviderFacts:
    return ProviderFacts(
        **{
            **entry,
            "header_dialect": HeaderDialect(entry.get("header_dialect", HeaderDialect.NONE)),
            "checks": frozenset(map(Check, entry.get("checks", ()))),
            "paths": {Dialect(dialect): path for dialect, path in entry.get("paths", {}).items()},
            "caps": {"output_limit_field": "max_tokens"} | facts_of_caps(entry.get("caps", {})),
            "quirks": _quirks(entry.get("quirks", ())),
            "probe": tuple(ProbePage(**page) for page in entry.get("probe", ())),
        }
    )


def _quirks(entries: Sequence[Mapping[str, Any]]) -> tuple[Quirk, ...]:
    return tuple(
        Quirk(
            **{key: value for key, value in entry.items() if key not in ("class", "retry")},
            error_class=ErrorClass(entry["class"]),
            scope=Scope(entry["retry"]),
        )
        for entry in entries
    )
