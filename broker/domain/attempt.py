"""An attempt: one provider call, and how it may end.

open ──▶ ok | refused | failed | discarded
  └────▶ unknown ──▶ ok | refused | failed | discarded      (a late report)
"""

from dataclasses import dataclass
from enum import StrEnum

from broker.domain.usage import NO_USAGE, Usage
from broker.errors import IllegalMove


class AttemptState(StrEnum):
    """How a call ended."""

    OPEN = "open"
    OK = "ok"
    """A complete, well-formed answer."""
    REFUSED = "refused"
    """The provider surely did nothing: no connection, 429, 401, 4xx, or never sent."""
    FAILED = "failed"
    """The provider answered, but with an error or with something that is no answer."""
    UNKNOWN = "unknown"
    """Bytes were sent and no full answer came back, or the process died."""
    DISCARDED = "discarded"
    """A good answer that came too late: the job already had a result. Its usage and cost count."""


_REPORTED = frozenset({AttemptState.OK, AttemptState.REFUSED, AttemptState.FAILED, AttemptState.DISCARDED})
MOVES: dict[AttemptState, frozenset[AttemptState]] = {
    AttemptState.OPEN: _REPORTED | {AttemptState.UNKNOWN},
    AttemptState.UNKNOWN: _REPORTED,
    AttemptState.OK: frozenset(),
    AttemptState.REFUSED: frozenset(),
    AttemptState.FAILED: frozenset(),
    AttemptState.DISCARDED: frozenset(),
}


def moved(current: AttemptState, to: AttemptState) -> AttemptState:
    """The new state; raises `IllegalMove` for a move that is not in the table."""
    if to not in MOVES[current]:
        raise IllegalMove("attempt", current, to)
    return to


class ErrorClass(StrEnum):
    """What went wrong, named by what should be done about it."""

    RATE_LIMITED = "rate_limited"
    RAMP = "ramp"
    DAILY_QUOTA = "daily_quota"
    SPEND = "spend"
    AUTHENTICATION = "authentication"
    PERMISSION = "permission"
    NOT_FOUND = "not_found"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    OUTAGE = "outage"
    """An error of the provider's while all its calls fail: not this job's, and not counted."""
    CONNECTION = "connection"
    """No connection was made: the provider did nothing."""
    TIMEOUT = "timeout"
    """The provider said so (408, 504)."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """The request was sent and no full answer came back."""
    MALFORMED_ANSWER = "malformed_answer"
    """A success status with something that is not a complete, well-formed answer."""
    TOO_LARGE = "too_large"
    INVALID_REQUEST = "invalid_request"
    UNTRANSLATABLE = "untranslatable"
    """The account's protocol cannot say what the request says: nothing was sent."""
    CONTENT_FILTER = "content_filter"
    NEVER_SENT = "never_sent"
    """Claimed, but the call was not started: the work went back."""
    LOST = "lost"
    """The process died with the attempt open."""
    ABORTED = "aborted"
    """The operator stopped the process with the attempt open; counts for nothing."""
    WORKER_CRASH = "worker_crash"
    """The job took its process down too often."""


REFUSES_FOR_GOOD = frozenset({ErrorClass.NOT_FOUND, ErrorClass.TOO_LARGE, ErrorClass.UNTRANSLATABLE})
"""What an account says of a job once and for all. Another may have the model, a larger limit, the right words."""


class Scope(StrEnum):
    """Where a job may be tried again."""

    SAME = "same"
    OTHER = "other"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallError:
    """Why a call gave no answer: decided once, by `classify`."""

    error_class: ErrorClass
    scope: Scope
    message: str
    """For people; redacted and cut, never a key or a whole body."""
    status: int | None = None
    code: str | None = None
    """The provider's own code, verbatim."""
    wait_s: float | None = None
    """The provider's hint; a floor for the next try."""
    usage: Usage = NO_USAGE
    """What the provider reported beside it: an answer that is of no use may have been generated, and is paid."""

    @property
    def retryable(self) -> bool:
        """Whether another try may help, here or at another account."""
        return self.scope is not Scope.NEVER
