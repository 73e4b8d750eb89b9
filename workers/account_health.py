"""Whether an account can be used, from what its calls came back with. Pure.

    active ──401/403 twice in a row──▶ revoked ──────┐
       │──money or daily quota used up──▶ exhausted  ├── one job is let through when `until` has passed,
       │──no connection──▶ unreachable ──────────────┤   and a good answer makes it active again
       └────────────────────◀────────────────────────┘

The finer states (cooling, half open with slow start, a shared deadline) join this table with adaptive limits.
"""

from dataclasses import dataclass
from enum import StrEnum

from broker.domain.attempt import CallError, ErrorClass
from broker.domain.outcome import RetryPolicy
from workers.retry import account_pause

CONFIRMATIONS = 2
LONGEST_UNREACHABLE_S = 60.0


class Health(StrEnum):
    """What an account is good for."""

    ACTIVE = "active"
    REVOKED = "revoked"
    EXHAUSTED = "exhausted"
    UNREACHABLE = "unreachable"
    """Nothing answers where it should be; it is looked for at longer and longer intervals."""


NEEDS_SOMEBODY = frozenset({Health.REVOKED, Health.EXHAUSTED})
"""Waiting alone mends neither of them soon."""
_BLOCKED_BY = {
    ErrorClass.AUTHENTICATION: Health.REVOKED,
    ErrorClass.PERMISSION: Health.REVOKED,
    ErrorClass.SPEND: Health.EXHAUSTED,
    ErrorClass.DAILY_QUOTA: Health.EXHAUSTED,
}


@dataclass(slots=True)
class AccountHealth:
    """One account's state; times are seconds on the caller's monotonic clock."""

    policy: RetryPolicy
    health: Health = Health.ACTIVE
    until: float = 0.0
    reason: str | None = None
    _refusals: int = 0
    _absences: int = 0

    def succeeded(self) -> None:
        """A good answer: whatever was wrong is over."""
        self.health, self.reason, self.until = Health.ACTIVE, None, 0.0
        self._refusals = self._absences = 0

    def went_wrong(self, error: CallError, now: float) -> None:
        """Take an error into account; most are none of the account's fault."""
        if error.error_class is ErrorClass.CONNECTION:
            self._not_there(error, now)
            return
        blocked = _BLOCKED_BY.get(error.error_class)
        if blocked is None:
            return
        self._refusals += 1
        if blocked is Health.REVOKED and self._refusals < CONFIRMATIONS:
            return
        self.health, self.reason = blocked, error.message
        self.until = max(self.until, now + (account_pause(error, self.policy) or 0.0))

    def _not_there(self, error: CallError, now: float) -> None:
        if now < self.until:
            return  # one of the calls that were under way: the same absence, or something worse
        self._absences += 1
        self.health, self.reason = Health.UNREACHABLE, error.message
        self.until = now + min(LONGEST_UNREACHABLE_S, 2.0 ** (self._absences - 1))

    def blocked_for(self, now: float) -> float:
        """Seconds until a call may be tried again; zero or below: now."""
        return 0.0 if self.health is Health.ACTIVE else self.until - now
