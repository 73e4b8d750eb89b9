"""All levels of a limit group together: how long a call waits for them, and what it moves."""

from collections.abc import Iterable

from broker.limits.port import Charge
from broker.limits.tank import Tank


def amount_of(tank: Tank, charge: Charge) -> float:
    """How much of a resource a charge takes."""
    return (
        tank.per_request * charge.requests
        + tank.per_input_token * charge.input_tokens
        + tank.per_output_token * charge.output_tokens
    )


def wait_for(tanks: Iterable[Tank], need: Charge, paused_for_s: float) -> tuple[float, Tank | None]:
    """Seconds until every level suffices, and the resource that decides (`None`: the pause, or nothing)."""
    wait = paused_for_s
    binding = None
    requests, input_tokens, output_tokens = need.requests, need.input_tokens, need.output_tokens
    for tank in tanks:
        amount = (
            tank.per_request * requests + tank.per_input_token * input_tokens + tank.per_output_token * output_tokens
        )
        if amount:
            short = min(amount, tank.burst) - tank.level
            if short > 0 and (seconds := short / tank.rate) > wait:
                wait = seconds
                binding = tank
    return wait, binding


def take(tanks: Iterable[Tank], need: Charge, wait: float) -> None:
    """Charge a call that starts in `wait` seconds."""
    requests, input_tokens, output_tokens = need.requests, need.input_tokens, need.output_tokens
    for tank in tanks:
        amount = (
            tank.per_request * requests + tank.per_input_token * input_tokens + tank.per_output_token * output_tokens
        )
        if amount:
            level = tank.level
            if wait > 0:
                # What would overflow before the start is gone by then: without this, a call that waits for one
                # resource would let another one save up more than its burst.
                level = min(level, max(level, tank.burst) - tank.rate * wait)
            tank.level = level - amount


def correct(
    tanks: Iterable[Tank], requests: float, input_tokens: float, output_tokens: float, *, paused_for_s: float
) -> None:
    """Charge what a call took beyond its estimate; negative parts are given back."""
    for tank in tanks:
        amount = (
            tank.per_request * requests + tank.per_input_token * input_tokens + tank.per_output_token * output_tokens
        )
        if amount:
            tank.give_back(-amount, paused_for_s=paused_for_s)
