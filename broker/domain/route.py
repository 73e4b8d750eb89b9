"""A route is what a job needs from an account: a model, or a model pinned to a provider or an account.

`gpt-5-mini`, `gpt-5-mini@azure`, `gpt-5-mini@azure-eu-1`.
"""

from collections.abc import Iterable


def routes_of(account: str, provider: str, models: Iterable[str]) -> frozenset[str]:
    """Every route that an account serves."""
    return frozenset(route for model in models for route in (model, f"{model}@{provider}", f"{model}@{account}"))


def model_of(route: str, models: Iterable[str]) -> str:
    """The logical model of a route; a model's own name may contain `@`."""
    known = frozenset(models)
    if route in known:
        return route
    model, _, _ = route.rpartition("@")
    return model
