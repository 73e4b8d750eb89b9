"""Whether an account can be used, from what its calls came back with. Pure.

    active ──401/403, believed (below)──▶ revoked ───┐
       │──money or daily quota used up──▶ exhausted  ├── one job is let through when `until` has passed,
       │──no connection──▶ unreachable ──────────────┤   and a good answer makes it active again
       │──errors of many jobs in a row──▶ failing ───┤
       └────────────────────◀────────────────────────┘

A refusal (401, 403) may be one job's own: a firewall or a filter that dislikes its words. So it is believed only when
no good answer came between and the last one is less than a minute ago, from as many different jobs as `_WITNESSES`
says, or from one job again and again. An account that works does not believe a 403 of a job that had one before.

The finer states (cooling, half open with slow start, a shared deadline) join this table with adaptive limits.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from broker.domain.attempt import CallError, ErrorClass
from broker.domain.job import JobKey
from broker.domain.outcome import RetryPolicy
from workers.retry import TRANSIENT, account_pause

CONFIRMED_WITHIN_S = 60.0
"""Refusals further apart do not confirm each other."""
_WITNESSES: Mapping[ErrorClass, int] = {ErrorClass.AUTHENTICATION: 2, ErrorClass.PERMISSION: 20}
"""Different jobs that must be refused: neighbours in a file may well share the words that a filter forbids."""
_AGAIN: Mapping[ErrorClass, int] = {ErrorClass.AUTHENTICATION: 3, ErrorClass.PERMISSION: 6}
"""Refusals of one job, where there is no other."""
LONGEST_ABSENCE_S = 60.0
OUTAGE_ERRORS = 5
OUTAGE_JOBS = 3
"""So many errors of the provider's in a row, from so many jobs, are an outage and no job's own."""


class Health(StrEnum):
    """What an account is good for."""

    ACTIVE = "active"
    REVOKED = "revoked"
    EXHAUSTED = "exhausted"
    UNREACHABLE = "unreachable"
    """Nothing answers where it should be; it is looked for at longer and longer intervals."""
    FAILING = "failing"
    """It answers with nothing but its own errors; looked for likewise."""


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
    works: bool = False
    """It has answered well at least once."""
    _refused: Counter[JobKey] = field(default_factory=Counter)
    """Jobs that were refused since the last good answer."""
    _refused_at: float = 0.0
    _since: float = 0.0
    """When the account was found revoked or exhausted."""
    _absences: int = 0
    _failed: Counter[JobKey] = field(default_factory=Counter)
    """Jobs that met an error of the provider's since the last good answer."""

    @property
    def vouched_for(self) -> bool:
        """Whether a job that is refused again and again is itself to blame."""
        return self.works and self.health not in NEEDS_SOMEBODY

    def succeeded(self, started_at: float) -> None:
        """A good answer: whatever was wrong is over, unless the call was started before that began."""
        if self.health in NEEDS_SOMEBODY and started_at < self._since:
            self.works = True
            return
        self.health, self.reason, self.until = Health.ACTIVE, None, 0.0
        self.works = True
        self._absences = 0
        self._refused.clear()
        self._failed.clear()

    def went_wrong(self, error: CallError, now: float, job_key: JobKey, earlier: int = 0) -> None:
        """Take an error into account; most are none of the account's fault.

        `earlier`: how often the job had an error of this class before.
        """
        if error.error_class is ErrorClass.CONNECTION:
            self._not_there(Health.UNREACHABLE, error, now)
            return
        if error.error_class in TRANSIENT:
            self._failed[job_key] += 1
            if self._failed.total() >= OUTAGE_ERRORS and len(self._failed) >= OUTAGE_JOBS:
                self._not_there(Health.FAILING, error, now)
            return
        blocked = _BLOCKED_BY.get(error.error_class)
        if blocked is None:
            return
        if blocked is Health.REVOKED and not self._believed(error.error_class, now, job_key, earlier):
            return
        if self.health is not blocked:
            self._since = now
        self.health, self.reason = blocked, error.message
        self.until = max(self.until, now + (account_pause(error, self.policy) or 0.0))

    def _believed(self, why: ErrorClass, now: float, job_key: JobKey, earlier: int) -> bool:
        if self.health is Health.REVOKED:
            return True
        if why is ErrorClass.PERMISSION and self.works and earlier:
            return False
        if now - self._refused_at > CONFIRMED_WITHIN_S:
            self._refused.clear()
        self._refused_at = now
        self._refused[job_key] += 1
        return len(self._refused) >= _WITNESSES[why] or self._refused[job_key] >= _AGAIN[why]

    def _not_there(self, health: Health, error: CallError, now: float) -> None:
        if now < self.until:
            return  # one of the calls that were under way: the same absence, or something worse
        self._absences += 1
        self.health, self.reason = health, error.message
        self.until = now + min(LONGEST_ABSENCE_S, 2.0 ** (self._absences - 1))

    def blocked_for(self, now: float) -> float:
        """Seconds until a call may be tried again; zero or below: now."""
        return 0.0 if self.health is Health.ACTIVE else self.until - now
