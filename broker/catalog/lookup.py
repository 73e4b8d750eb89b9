"""Looks providers up in the catalog that ships with the package."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

from broker.domain.account import ChargeMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """What is known of one provider; the fields are explained at the top of `providers.toml`."""

    name: str
    title: str
    base_url: str | None = None
    base_url_example: str | None = None
    key_env: tuple[str, ...] = ()
    needs_key: bool = True
    protocol: str = "openai"
    auth_header: str = "authorization"
    auth_scheme: str = "Bearer"
    charge_mode: ChargeMode = ChargeMode.ACTUAL
    header_dialect: str = "none"
    price_provider: str | None = None
    free: bool = False
    output_limit_field: str = "max_tokens"
    usage_details_default_zero: bool = False
    suggested_models: Mapping[str, str] = field(default_factory=dict)


@cache
def providers() -> Mapping[str, Provider]:
    """Give every provider by name, in the order of the catalog."""
    text = files("broker.catalog").joinpath("providers.toml").read_text(encoding="utf-8")
    return {name: _provider(name, entry) for name, entry in tomllib.loads(text).items()}


def find(name: str) -> Provider | None:
    """Give the provider of that name, `None` when the catalog does not have it."""
    return providers().get(name)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Give the known name that a typing error most likely meant."""
    close = get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def _provider(name: str, entry: dict[str, Any]) -> Provider:
    entry["key_env"] = tuple(entry.get("key_env", ()))
    entry["charge_mode"] = ChargeMode(entry.get("charge_mode", ChargeMode.ACTUAL))
    return Provider(name=name, **entry)
