"""What a job costs its pool, in seconds: the unit in which batches share."""

import math
from dataclasses import dataclass

from broker.limits.port import Charge

_LEAST_COST_S = 1e-6
"""No job is free: a batch of jobs without cost would be picked forever."""
NOMINAL_TOKENS_PER_REQUEST = 1_000.0
_NOMINAL_TOKENS_PER_S = 10_000.0
_NOMINAL_REQUESTS_PER_S = 1_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRates:
    """What all accounts of a route allow together, per second; `None` (or nothing above zero) is unknown."""

    requests_per_s: float | None = None
    tokens_per_s: float | None = None
    """Input and output together."""
    input_tokens_per_s: float | None = None
    output_tokens_per_s: float | None = None


def cost(need: Charge, pool: PoolRates) -> float:
    """Seconds of the whole pool that a job takes: its share of the resource it uses most; above zero.

    A pool with no known token rate is taken to have one: 1,000 tokens per allowed request, so that ordinary jobs
    share requests and very long ones do not ride free. Where nothing is known, batches share by tokens, and a job
    counts as ten tokens at least.
    """
    requests, tokens = _known(pool.requests_per_s), _known(pool.tokens_per_s)
    inputs, outputs = _known(pool.input_tokens_per_s), _known(pool.output_tokens_per_s)
    if tokens is None and inputs is None and outputs is None:
        tokens = _NOMINAL_TOKENS_PER_S if requests is None else requests * NOMINAL_TOKENS_PER_REQUEST
        requests = _NOMINAL_REQUESTS_PER_S if requests is None else requests
    return max(
        _LEAST_COST_S,
        0.0 if requests is None else need.requests / requests,
        0.0 if tokens is None else (need.input_tokens + need.output_tokens) / tokens,
        0.0 if inputs is None else need.input_tokens / inputs,
        0.0 if outputs is None else need.output_tokens / outputs,
    )


def _known(rate: float | None) -> float | None:
    return rate if rate is not None and rate > 0 and math.isfinite(rate) else None
