"""How many calls an account may start, by what it declares and what its calls take. Pure."""

from collections.abc import Mapping

from broker.domain.account import Account
from broker.limits.port import Charge

_SMOOTHING = 0.02


def moved(mean: Charge, charge: Charge) -> Charge:
    """The mean of what calls take, after one more."""
    return Charge(
        input_tokens=mean.input_tokens + _SMOOTHING * (charge.input_tokens - mean.input_tokens),
        output_tokens=mean.output_tokens + _SMOOTHING * (charge.output_tokens - mean.output_tokens),
    )


def starts_per_second(account: Account, mean: Charge) -> float | None:
    """How many calls of this mean size the declared limits start per second; `None`: nothing is declared."""
    limits = account.limits
    needs: Mapping[str, tuple[float | None, float]] = {
        "requests": (limits.requests_per_minute, 1.0),
        "tokens": (limits.tokens_per_minute, mean.input_tokens + mean.output_tokens),
        "input": (limits.input_tokens_per_minute, mean.input_tokens),
        "output": (limits.output_tokens_per_minute, mean.output_tokens),
    }
    rates = [limit / 60 / need for limit, need in needs.values() if limit is not None and need > 0]
    return min(rates, default=None)
