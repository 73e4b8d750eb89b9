"""What a provider call consumed, in tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class UsageSource(StrEnum):
    """Where the numbers come from."""

    REPORTED = "reported"
    """The provider said so."""
    ESTIMATED = "estimated"
    """Our estimate: the provider answered without usage."""
    MISSING = "missing"
    """Nobody knows: the call was refused, failed, or its outcome is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Inclusive token buckets; `None` is unknown, never zero.

    `input_tokens` contains cache reads and writes, `output_tokens` contains reasoning.
    """

    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    source: UsageSource = UsageSource.MISSING

    @property
    def total_tokens(self) -> int | None:
        """Input plus output, unknown when either is."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens + self.output_tokens


NO_USAGE = Usage()
_BUCKETS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
_LEAST_SURE_FIRST = (UsageSource.MISSING, UsageSource.ESTIMATED, UsageSource.REPORTED)


def summed(usages: Sequence[Usage]) -> Usage:
    """What several calls consumed together: a bucket is unknown when it is unknown of one of them."""
    sums = {}
    for bucket in _BUCKETS:
        counts = [getattr(usage, bucket) for usage in usages]
        sums[bucket] = None if None in counts else sum(counts)
    sources = {usage.source for usage in usages}
    return Usage(**sums, source=next((one for one in _LEAST_SURE_FIRST if one in sources), UsageSource.MISSING))
