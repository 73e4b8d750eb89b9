"""Makes accounts of account sections: catalog defaults filled in, and what one section alone cannot show checked."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from broker.catalog.lookup import Provider, nearest, provider_of, providers
from broker.domain.account import Account, Autoscale, Limits, Prices
from broker.domain.caps import facts_of_caps
from broker.domain.dialect import Dialect
from broker.settings.problems import Problem
from broker.settings.provider_schema import ProviderSection
from broker.settings.schema import AccountSection


def resolve(
    sections: Sequence[AccountSection], own: Mapping[str, ProviderSection], folder: Path
) -> tuple[tuple[Account, ...], list[Problem]]:
    """Make the accounts, and list everything that is wrong with them; use the accounts only when nothing is.

    `own` are the providers of this file, which stand in place of the catalog's. `folder` is where relative key files
    start.
    """
    known = {**providers(), **{name: provider_of(name, section.entry()) for name, section in own.items()}}
    problems: list[Problem] = []
    accounts: list[Account] = []
    for index, section in enumerate(sections):
        provider = known.get(section.provider)
        if provider is None:
            why = _unknown_provider(section.provider, known)
            problems.append(Problem(path=("accounts", index, "provider"), why=why))
            continue
        problems += [Problem(path=("accounts", index, *path), why=why) for path, why in _faults(section, provider)]
        accounts.append(_account(section, provider, folder))
    problems += _names(sections, known)
    problems += _groups(sections)
    return _with_group_limits(accounts), problems


def _account(section: AccountSection, provider: Provider, folder: Path) -> Account:
    said = {name.lower() for name in section.headers}
    return Account(
        name=section.name,
        provider=provider.name,
        protocols=section.protocol or provider.protocols,
        base_url=section.base_url or provider.base_url or "",
        models=dict(section.models),
        secret=anchored(section.api_key, folder),
        auth_header=provider.auth_header,
        auth_scheme=provider.auth_scheme,
        headers={name: value for name, value in provider.headers.items() if name.lower() not in said} | section.headers,
        facts=provider.facts,
        caps={model: facts_of_caps(caps.model_dump(exclude_none=True)) for model, caps in section.caps.items()},
        limits=Limits(**section.limits.model_dump()),
        limit_group=section.limit_group or "",
        charge_mode=section.charge_mode or provider.charge_mode,
        price_provider=provider.price_provider,
        prices={model: Prices(**prices.model_dump()) for model, prices in section.prices.items()},
        timeout_seconds=section.timeout_seconds,
        worker_concurrency=section.worker_concurrency,
        workers=section.workers,
        autoscale=None
        if section.autoscale is None
        else Autoscale(min=section.autoscale.min, max=section.autoscale.max),
        licence=section.licence,
    )


def anchored(reference: str | None, folder: Path) -> str | None:
    """Let a relative `file:` reference start at that folder; whatever else it is stays."""
    if reference is None or not reference.startswith("file:"):
        return reference
    return f"file:{folder / Path(reference.removeprefix('file:')).expanduser()}"


def _unknown_provider(name: str, known: Mapping[str, Provider]) -> str:
    close = nearest(name, known)
    hint = f'; did you mean "{close}"?' if close else ""
    return (
        f'unknown provider "{name}"{hint} (known: {", ".join(known)}; '
        'any other server that speaks the OpenAI protocol is "openai-compatible" with a base_url, '
        "or gets its own table [providers.NAME])"
    )


def _faults(section: AccountSection, provider: Provider) -> Iterable[tuple[tuple[str, ...], str]]:
    """List what is wrong with one account, by the path of the key."""
    if section.base_url is None and provider.base_url is None:
        yield ("base_url",), f'provider "{provider.name}" needs a base_url, like "{provider.base_url_example}"'
    elif (version := _doubled_version(section, provider)) is not None:
        yield ("base_url",), f"must end before {version}, which is added for each call in this protocol"
    if section.api_key is None and provider.needs_key:
        variable = provider.key_env[0] if provider.key_env else "MY_KEY"
        yield ("api_key",), f'provider "{provider.name}" needs a key; add `api_key = "env:{variable}"`'
    if section.autoscale is not None and section.autoscale.max < section.autoscale.min:
        yield ("autoscale", "max"), f"must not be below autoscale.min, which is {section.autoscale.min}"
    for key, models in (("prices", section.prices), ("caps", section.caps)):
        for model in models.keys() - section.models.keys():
            close = nearest(model, section.models)
            hint = f'did you mean "{close}"?' if close else f"its models are {', '.join(section.models)}"
            yield (key, model), f"is not a model of this account; {hint}"


_VERSIONED = {Dialect.ANTHROPIC_MESSAGES: ("/v1",), Dialect.GEMINI_GENERATE_CONTENT: ("/v1beta", "/v1")}
"""Dialects whose paths begin with a version, unlike OpenAI's, whose base URL holds it."""


def _doubled_version(section: AccountSection, provider: Provider) -> str | None:
    """The version at the end of a base URL, where every call would bring its own behind it."""
    protocols = section.protocol or provider.protocols
    url = section.base_url or ""
    for dialect in protocols:
        for version in _VERSIONED.get(dialect, ()) if dialect not in provider.facts.paths else ():
            if url.endswith(version):
                return version
    return None


def _names(sections: Sequence[AccountSection], known: Collection[str]) -> list[Problem]:
    """Check that names are unique, and never read as a provider: `model@name` must mean one thing."""
    problems: list[Problem] = []
    first: dict[str, int] = {}
    per_provider = Counter(section.provider for section in sections)
    for index, section in enumerate(sections):
        path = ("accounts", index, "name")
        if section.name in first:
            why = f'"{section.name}" is already the name of accounts[{first[section.name]}]; choose another'
            problems.append(Problem(path=path, why=why))
        first.setdefault(section.name, index)
        alone = section.name == section.provider and per_provider[section.provider] == 1
        if section.name in known and not alone:
            why = f'"{section.name}" is also a provider, so `model@{section.name}` could mean either; choose another'
            problems.append(Problem(path=path, why=why))
    return problems


def _groups(sections: Sequence[AccountSection]) -> list[Problem]:
    """Check that accounts which share one limit do not declare it differently."""
    declared: dict[str, tuple[int, Limits]] = {}
    problems: list[Problem] = []
    for index, section in enumerate(sections):
        limits = Limits(**section.limits.model_dump())
        if limits == Limits():
            continue
        group = section.limit_group or section.name
        first, agreed = declared.setdefault(group, (index, limits))
        if limits != agreed and sections[first].name != section.name:
            why = (
                f'limit group "{group}" has other limits at accounts[{first}] ("{sections[first].name}"); '
                "a group is limited once: declare the limits at one of its accounts, or the same at all"
            )
            problems.append(Problem(path=("accounts", index, "limits"), why=why))
    return problems


def _with_group_limits(accounts: Sequence[Account]) -> tuple[Account, ...]:
    """Let every account of a group carry the limits that the group declares."""
    declared: Mapping[str, list[Limits]] = defaultdict(list)
    for account in accounts:
        if account.limits != Limits():
            declared[account.group].append(account.limits)
    return tuple(
        replace(account, limits=declared[account.group][0]) if account.group in declared else account
        for account in accounts
    )
