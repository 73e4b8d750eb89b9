"""Reads what response headers say about limits, in each provider's way. Header names are lower case.

Sources: the vendors' pages on rate limits, and captured responses (see the tests). What a provider counts over a
second is read as a limit per minute; what is left of a second says nothing about a minute, and is not read.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from broker.domain.provider import HeaderDialect
from broker.limits.durations import duration_s
from broker.limits.port import Observation, Resource

_MINUTE_S = 60.0
_LONGEST_MINUTE_S = 65.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """The headers that tell of one resource."""

    resource: Resource
    limit: str
    remaining: str | None = None
    reset: str | None = None
    window_s: float = _MINUTE_S
    """What the numbers are about; a day's limit is told as such."""


def _openai(resource: Resource, name: str) -> _Told:
    return _Told(
        resource=resource,
        limit=f"x-ratelimit-limit-{name}",
        remaining=f"x-ratelimit-remaining-{name}",
        reset=f"x-ratelimit-reset-{name}",
    )


def _anthropic(resource: Resource, name: str) -> _Told:
    start = f"anthropic-ratelimit-{name}"
    return _Told(resource=resource, limit=f"{start}-limit", remaining=f"{start}-remaining", reset=f"{start}-reset")


def _mistral(resource: Resource, name: str) -> _Told:
    return _Told(
        resource=resource,
        limit=f"x-ratelimit-limit-{name}-minute",
        remaining=f"x-ratelimit-remaining-{name}-minute",
        reset=f"x-ratelimit-reset-{name}-minute",
    )


def _each_second(resource: Resource, limit: str) -> _Told:
    return _Told(resource=resource, limit=limit, window_s=1.0)


_REQUESTS, _TOKENS = _openai(Resource.REQUESTS, "requests"), _openai(Resource.TOKENS, "tokens")
_TOLD: Mapping[HeaderDialect, Sequence[_Told]] = {
    HeaderDialect.NONE: (),
    HeaderDialect.OPENAI: (_REQUESTS, _TOKENS),
    # A limit below the one that is configured is a temporary adjustment; -1 and 0 are written where it does not know.
    HeaderDialect.AZURE: (_REQUESTS, _TOKENS),
    # `anthropic-ratelimit-tokens-*` repeats whichever limit is the most restrictive right now, a workspace's too:
    # it is of no fixed resource, and not read.
    HeaderDialect.ANTHROPIC: (
        _anthropic(Resource.REQUESTS, "requests"),
        _anthropic(Resource.INPUT_TOKENS, "input-tokens"),
        _anthropic(Resource.OUTPUT_TOKENS, "output-tokens"),
    ),
    # The same names as OpenAI's, but the requests are those of a day.
    HeaderDialect.GROQ: (_openai(Resource.REQUESTS_PER_DAY, "requests"), _TOKENS),
    # There are headers by the month as well, which no limit of ours counts.
    HeaderDialect.MISTRAL: (_mistral(Resource.REQUESTS, "req"), _mistral(Resource.TOKENS, "tokens")),
    HeaderDialect.TOGETHER: (
        _each_second(Resource.REQUESTS, "x-ratelimit-limit"),
        _each_second(Resource.TOKENS, "x-tokenlimit-limit"),
    ),
    HeaderDialect.FIREWORKS: (
        _each_second(Resource.INPUT_TOKENS, "x-ratelimit-limit-tokens-prompt"),
        _each_second(Resource.OUTPUT_TOKENS, "x-ratelimit-limit-tokens-generated"),
    ),
    HeaderDialect.OPENROUTER: (
        _Told(
            resource=Resource.REQUESTS,
            limit="x-ratelimit-limit",
            remaining="x-ratelimit-remaining",
            reset="x-ratelimit-reset",
        ),
    ),
}


def observations(dialect: HeaderDialect, headers: Mapping[str, str], now: float) -> list[Observation]:
    """What a response's headers say, one observation per resource they tell of; never raises.

    `now` is epoch seconds, for headers that are dates. Limits of 0 or less and what cannot be read are unknown.
    """
    seen = (_observation(told, headers, now) for told in _TOLD[dialect])
    found = [observation for observation in seen if observation is not None]
    return [one for each in found for one in _by_its_reset(each)] if dialect is HeaderDialect.OPENROUTER else found


def _observation(told: _Told, headers: Mapping[str, str], now: float) -> Observation | None:
    limit = _number(headers.get(told.limit))
    if limit is not None and limit <= 0:
        return None  # a provider that does not know its limit does not know what is left of it
    left = None if told.remaining is None else _number(headers.get(told.remaining))
    if left is not None and left < 0:
        left = None
    if limit is None and left is None:
        return None
    reset = None if told.reset is None else headers.get(told.reset)
    return Observation(
        resource=told.resource,
        limit=None if limit is None else limit * (_MINUTE_S / told.window_s),
        remaining=left,
        reset_s=None if reset is None else duration_s(reset, now),
    )


def _by_its_reset(seen: Observation) -> list[Observation]:
    """Tell a day's limit from a minute's, where one name stands for both, by how far off its end is."""
    if seen.reset_s is None:
        return []
    return [seen if seen.reset_s <= _LONGEST_MINUTE_S else replace(seen, resource=Resource.REQUESTS_PER_DAY)]


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
