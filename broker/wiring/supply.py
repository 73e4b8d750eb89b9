"""What accounts can take: their routes, slots and rates."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from broker.domain.account import Account
from broker.domain.route import Routes
from broker.feeder.cost import NOMINAL_TOKENS_PER_REQUEST, PoolRates
from broker.feeder.feeder import RouteSupply


def all_routes(accounts: Collection[Account], *, of: Collection[Account] | None = None) -> frozenset[str]:
    """Every route that some account of a pool serves, or some of those that are named by `of`."""
    return Routes(accounts).of_any(accounts if of is None else of)


def serving(accounts: Collection[Account], routes: Collection[str]) -> tuple[Account, ...]:
    """The accounts of a pool that serve any of these routes."""
    return Routes(accounts).serving(routes)


def supply(accounts: Collection[Account], route: str, processes: Mapping[str, int] | None = None) -> RouteSupply:
    """What the workers of a route take; `processes` counts those of each account, one where nothing is said."""
    counts = Counter({account.name: 1 for account in accounts} if processes is None else processes)
    able = serving(accounts, [route])
    groups = {account.group: account.limits for account in able}.values()  # what is limited together counts once

    def per_second(limits: Sequence[float | None]) -> float | None:
        return None if None in limits else sum(limit / 60 for limit in limits if limit is not None)

    return RouteSupply(
        slots=sum(_slots(account, counts[account.name]) for account in able),
        workers=sum(counts[account.name] for account in able),
        rates=PoolRates(
            requests_per_s=per_second([limits.requests_per_minute for limits in groups]),
            tokens_per_s=per_second([limits.tokens_per_minute for limits in groups]),
            input_tokens_per_s=per_second([limits.input_tokens_per_minute for limits in groups]),
            output_tokens_per_s=per_second([limits.output_tokens_per_minute for limits in groups]),
        ),
        slowest_per_s=_slowest([_starts_per_s(a, max(1, counts[a.name])) for a in able]),
    )


def _slots(account: Account, processes: int) -> int:
    slots = account.worker_concurrency * processes
    return slots if account.limits.concurrency is None else min(slots, account.limits.concurrency)


def _starts_per_s(account: Account, processes: int) -> float | None:
    """Calls that one process of an account may start; `None` without declared limits."""
    limits = account.limits
    tokens = [limits.tokens_per_minute, limits.input_tokens_per_minute, limits.output_tokens_per_minute]
    per_minute = [limits.requests_per_minute, *(t and t / NOMINAL_TOKENS_PER_REQUEST for t in tokens)]
    return min((rate / 60 / processes for rate in per_minute if rate is not None), default=None)


def _slowest(rates: Sequence[float | None]) -> float | None:
    known = [rate for rate in rates if rate is not None]
    return min(known) if known and len(known) == len(rates) else None
