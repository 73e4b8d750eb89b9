"""The text of a first configuration: an account for each key that is there, the rest as examples."""

import json
from collections.abc import Iterable, Mapping

from broker.catalog.lookup import Provider, providers

_HEAD = """\
# What may be used: the accounts, with what each allows. Run `penstock accounts check` after changing it.
# A key is never in this file: api_key says where it is, "env:NAME" or "file:/path".
# Two keys of one organisation are one account, or share a limit_group: providers limit the organisation.
"""
_LIMITS = """\
# What the account allows, from the provider's limits page; what is left out is unknown.
# limits = { requests_per_minute = 500, tokens_per_minute = 200_000, concurrency = 64 }
"""
_TAIL = """\
# How often a job is tried again; waiting for capacity is never counted.
# [run]
# retries = { transient = 4, unknown = 2, malformed = 2 }
"""
_REHEARSAL = "penstock-sim"
_EXAMPLES = ("vllm", "ollama", "azure", "openai-compatible")


def key_names() -> frozenset[str]:
    """Name the environment variables in which keys usually are."""
    return frozenset(name for provider in providers().values() for name in provider.key_env)


def starter(known: Iterable[Provider], keys: frozenset[str]) -> tuple[str, tuple[str, ...]]:
    """Write the file, given the names of the variables that are set; also name its active accounts.

    A provider whose URL is not known in advance stays a comment, also when its key is there. A key makes one account,
    of the first provider that it opens: two would be limited together. With no usable key the active account is the
    simulated provider, so that the file works as it is.
    """
    catalog = {provider.name: provider for provider in known}
    found = _found(catalog.values(), keys)
    active = [name for name in found if catalog[name].base_url is not None] or [_REHEARSAL]
    examples = [name for name in dict.fromkeys((*found, *_EXAMPLES)) if name not in active]
    parts = [_HEAD]
    if active == [_REHEARSAL]:
        parts.append("# No key was found in the environment: this account is the simulator, `penstock provider-sim`.\n")
    parts += [_account(catalog[name], found) for name in active]
    parts += [_commented(_account(catalog[name], found)) for name in examples]
    parts.append(_TAIL)
    return "\n".join(parts), tuple(_account_name(catalog[name]) for name in active)


def _found(known: Iterable[Provider], keys: frozenset[str]) -> dict[str, str]:
    """The keys that are there, by the provider that each opens first."""
    found: dict[str, str] = {}
    for provider in known:
        key = _key(provider, keys)
        if key is not None and key not in found.values():
            found[provider.name] = key
    return found


def _key(provider: Provider, keys: frozenset[str]) -> str | None:
    return next((name for name in provider.key_env if name in keys), None)


def _account_name(provider: Provider) -> str:
    """Not the provider's own name: `model@openai` should mean the provider, also when a second account comes."""
    return f"{provider.name}-1"


def _account(provider: Provider, keys: Mapping[str, str]) -> str:
    key = keys.get(provider.name) or next(iter(provider.key_env), None)
    url = provider.base_url or provider.base_url_example
    lines = [
        f"# {provider.title}",
        "[[accounts]]",
        f"name = {_text(_account_name(provider))}",
        f"provider = {_text(provider.name)}",
    ]
    if key is not None:
        lines.append(f"api_key = {_text(f'env:{key}')}")
    if url is not None and (provider.base_url is None or not provider.needs_key):
        lines.append(f"base_url = {_text(url)}")
    models = ", ".join(f"{_text(ours)} = {_text(theirs)}" for ours, theirs in provider.suggested_models.items())
    lines += ["# Logical name = name at the provider.", f"models = {{ {models} }}"]
    return "\n".join(lines) + "\n" + _LIMITS


def _commented(text: str) -> str:
    return "".join(line if line.startswith("#") else f"# {line}" for line in text.splitlines(keepends=True))


def _text(value: str) -> str:
    """Quote for TOML, whose basic strings hold what JSON strings hold."""
    return json.dumps(value, ensure_ascii=False)
