"""What a call takes from the limits, by what its provider counts."""

from typing import assert_never

from broker.domain.account import ChargeMode
from broker.domain.usage import Usage
from broker.limits.estimate import Estimate
from broker.limits.port import Charge


def estimated_charge(estimate: Estimate, mode: ChargeMode) -> Charge:
    """Say what to reserve before the call."""
    match mode:
        case ChargeMode.ACTUAL:
            output_tokens = estimate.output_tokens
        case ChargeMode.MAX_ONCE:
            # Without `max_tokens` nobody outside knows what the provider assumes: the prediction is the best guess.
            output_tokens = estimate.output_tokens if estimate.max_tokens is None else float(estimate.max_tokens)
        case _:
            assert_never(mode)
    return Charge(input_tokens=estimate.input_tokens, output_tokens=output_tokens)


def actual_charge(usage: Usage, mode: ChargeMode, estimate: Charge) -> Charge:
    """Say what the call took in the end; `estimate` was reserved, and stands where usage is unknown."""
    match mode:
        case ChargeMode.ACTUAL:
            if usage.input_tokens is None and usage.output_tokens is None:
                return estimate
            return Charge(
                requests=estimate.requests,
                input_tokens=_known(usage.input_tokens, estimate.input_tokens),
                output_tokens=_known(usage.output_tokens, estimate.output_tokens),
            )
        case ChargeMode.MAX_ONCE:
            # Charged at admission and never refunded: giving tokens back here would only buy refusals.
            return estimate
        case _:
            assert_never(mode)


def _known(tokens: int | None, estimate: float) -> float:
    return estimate if tokens is None else float(max(0, tokens))
