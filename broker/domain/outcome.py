"""What becomes of a job after one of its calls, and how patient we are."""

from dataclasses import dataclass

from broker.domain.attempt import ErrorClass
from broker.domain.result import ResultState


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The job has its result: `SUCCEEDED` or `FAILED`."""

    state: ResultState


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryAt:
    """One more try, which counts against the job's budget for this kind of error."""

    due_in_s: float
    why: ErrorClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The account was not able, not the job: the job goes back and nothing is counted."""

    due_in_s: float
    why: ErrorClass


Outcome = Finished | RetryAt | Waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a job is tried again, by what went wrong."""

    transient_tries: int = 5
    """Calls in all that may end in an overload, a server error or a timeout told by the provider."""
    malformed_retries: int = 2
    """Further calls after answers that were none."""
    unknown_retries: int = 2
    """Further calls after calls of unknown outcome; 0 is at most once."""
    backoff_base_s: float = 1.0
    backoff_cap_s: float = 60.0
    hint_cap_s: float = 3600.0
    """No provider's hint holds a job longer than this, in seconds."""
