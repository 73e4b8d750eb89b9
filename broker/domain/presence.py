"""What a worker process says of itself at each life sign."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """One worker process that is there, as of its last life sign; `None` where it has not said so yet."""

    worker_id: str
    account: str
    in_flight: int
    slots: int | None
    """Calls that it may have in flight."""
    waits_for: str | None
    """What its next call waits for: a resource of the limits, `slots` of the account, `paused: …`, `database: …`."""
    busy: float | None
    """Share of one CPU since the life sign before, 0 to 1."""
