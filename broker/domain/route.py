"""A route is what a job needs from an account: a model, or a model pinned to a provider or an account.

`gpt-5-mini`, `gpt-5-mini@azure`, `gpt-5-mini@azure-eu-1`; and, where an account has a licence, the same for jobs that
say what they are for: `mistral-8x22b+use:non-commercial`.

    batch                no licence    licence L
    no use               serves        never
    use L                serves        serves
    use M                serves        never

The rule is kept by the routes alone: an account with a licence serves no route but those of its use. So whichever turn
it takes, also that of a retry, is one that it may run.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from broker.domain.account import Account

USE = "+use:"
"""Between a route and what its jobs are for; no model's name holds it."""


class Routes:
    """Which routes the accounts of a pool serve, given the licences of all of them."""

    def __init__(self, pool: Iterable[Account]) -> None:
        self._pool = tuple(pool)
        licensed: defaultdict[str, set[str]] = defaultdict(set)
        for account in self._pool:
            if account.licence is not None:
                licensed[account.licence] |= _pinned(account)
        self._licensed = dict(licensed)

    def of(self, account: Account) -> frozenset[str]:
        """Every route that this account serves."""
        routes = _pinned(account)
        if account.licence is not None:
            return frozenset(qualified(route, account.licence) for route in routes)
        shared = (qualified(route, use) for use, theirs in self._licensed.items() for route in routes & theirs)
        return routes.union(shared)

    def of_any(self, accounts: Iterable[Account]) -> frozenset[str]:
        """Every route that one of these accounts serves."""
        return frozenset().union(*map(self.of, accounts))

    def serving(self, routes: Collection[str]) -> tuple[Account, ...]:
        """The accounts of the pool that serve any of these routes."""
        return tuple(account for account in self._pool if not self.of(account).isdisjoint(routes))


def _pinned(account: Account) -> frozenset[str]:
    return frozenset(
        route for model in account.models for route in (model, f"{model}@{account.provider}", f"{model}@{account.name}")
    )


def qualified(route: str, use: str) -> str:
    """The same route for jobs of this use."""
    return f"{route}{USE}{use}"


def without_use(route: str) -> str:
    """The route as producers ask for it."""
    return route.partition(USE)[0]


def model_of(route: str, models: Collection[str]) -> str:
    """The logical model of a route; a model's own name may contain `@`."""
    asked = without_use(route)
    if asked in models:
        return asked
    model, _, _ = asked.rpartition("@")
    return model


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenceNeeded:
    """A route that only accounts with a licence serve, and the batch is not for what they may do."""

    licences: tuple[str, ...]

    def __str__(self) -> str:
        known = " or ".join(self.licences)
        return (
            f"only accounts with the licence {known} serve it; "
            f"if that is what the batch is for, submit it with --use {self.licences[0]}"
        )


def route_for(asked: str, use: str | None, routes: Collection[str]) -> str | LicenceNeeded | None:
    """The route of a job whose producer asks for `asked`, in a batch that is for `use`.

    `routes` are all that the pool serves. `None`: no account serves what is asked for.
    """
    if USE in asked:  # what a job is for is said by its batch, not by its row
        return None
    if use is not None and (route := qualified(asked, use)) in routes:
        return route
    if asked in routes:
        return asked
    licences = sorted({found for route in routes for name, _, found in [route.partition(USE)] if name == asked} - {""})
    return LicenceNeeded(licences=tuple(licences)) if licences else None
