"""The limiter: hands out start times, so that time is leased and not permission.

An implementation owns the levels of every limit group, and their order: grants of a group are spaced by one
clock whoever asks. The caller keeps each reservation and settles it exactly once; a reservation that was
granted holds one slot until then. Every method raises `KeyError` for a group that was never declared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Resource(StrEnum):
    """What a limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    """Input and output together."""
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    REQUESTS_PER_DAY = "requests_per_day"
    TOKENS_PER_DAY = "tokens_per_day"


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What one call takes from the limits, estimated before it and real after it."""

    requests: float = 1.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A wish to make one call; asking again with the same id returns the same grant."""

    reservation_id: str
    need: Charge


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Permission to start one call at `start_at`, in seconds of the limiter clock's `monotonic()`."""

    reservation_id: str
    start_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """Grants for a prefix of the asks, in their order."""

    grants: Sequence[Grant]
    retry_in: float | None
    """Seconds until the first ask without a grant is worth repeating; `None` when all were granted,
    or when only a settlement can help (no free slot)."""
    why: str | None = None
    """What the first ask without a grant waits for, for people: `requests`, `slots`, `paused: rate_limited`."""
    generation: int = 0
    """The group's count of changes for the better when this was decided: what `Limiter.changed` compares with."""


class Settled(StrEnum):
    """How a reserved call ended, as far as the limits care."""

    USED = "used"
    """The provider did the work: the charge becomes `actual`, or stays as estimated when `actual` is None."""
    REJECTED = "rejected"
    """Refused by the provider: the request counts, the tokens come back."""
    NOT_STARTED = "not_started"
    """Never sent: everything comes back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The end of one reservation."""

    reservation_id: str
    how: Settled
    actual: Charge | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the provider's response headers say of one resource; `None` where they are silent."""

    resource: Resource
    limit: float | None
    remaining: float | None
    reset_s: float | None
    """Seconds, with the provider's own meaning (to full, or to the next window)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One resource of a group, for people."""

    resource: Resource
    limit: float
    period_s: float
    available: float
    """What is left right now; below zero is debt."""
    used: float
    """Charged in the last 60 s (or since the start, if that is shorter)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupState:
    """A limit group right now, for `status` and the live view."""

    levels: Sequence[Level]
    in_flight: int
    slots: int | None
    paused_for_s: float
    pause_reason: str | None
    degraded: str | None = None
    """Why only a share of the limits is handed out: nobody can be asked what other processes take."""


class Limiter(Protocol):
    """Paces every limit group; all calls are atomic and safe from many tasks."""

    async def reserve(self, group: str, asks: Sequence[Ask], *, horizon_s: float) -> Granted:
        """Grant start times to a prefix of `asks`, none further ahead than `horizon_s` (seconds).

        An ask whose id is open gets its first grant again and is charged once.
        """
        ...

    async def settle(self, group: str, settlements: Sequence[Settlement]) -> None:
        """End reservations; an id that is not open is ignored (a repeat, or already reaped)."""
        ...

    async def throttle(self, group: str, *, hint_s: float, resource: Resource | None, reason: str) -> None:
        """Obey a provider that said stop: nothing starts for `hint_s` seconds, then work resumes spaced.

        Never shortens a pause that is already longer. Grants handed out before are the caller's to give back.
        """
        ...

    async def observe(self, group: str, observations: Sequence[Observation], *, sent_at: float | None = None) -> None:
        """Take over what response headers say; nonsense (zero or negative limits) is ignored.

        `sent_at` is when the answered call was started, in seconds of the limiter clock's `monotonic()`: calls
        started later are not in what the headers say remains. `None` takes the headers as of now.
        """
        ...

    async def changed(self, group: str, *, since: int) -> None:
        """Wait until an ask refused in generation `since` may be granted: a settlement, or higher limits.

        Returns at once when that has happened already, so no wake-up is lost between `reserve` and this call.
        The passing of time is no change: a caller that was given a `retry_in` waits for whichever comes first.
        """
        ...

    def void_before(self, group: str) -> float:
        """When the last pause began that is known here, in seconds of the limiter clock's `monotonic()`.

        Minus infinity when none did. What was granted before and has not started is void: give it back, whichever
        worker was told to stop.
        """
        ...

    async def state(self, group: str) -> GroupState:
        """Describe the group as it is right now."""
        ...
