"""What a worker reports of one attempt, to be committed with everything that follows from it."""

from dataclasses import dataclass
from decimal import Decimal

from broker.domain.attempt import AttemptState, CallError
from broker.domain.job import JobKey
from broker.domain.result import ResultState
from broker.domain.usage import NO_USAGE, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """The result that this report would give its job, if it has none yet."""

    state: ResultState
    custom_id: str | None
    status: int | None = None
    body: bytes | None = None
    error_code: str | None = None
    error_message: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """The job is handed back: due in `in_s` seconds on the database's clock."""

    in_s: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The end of one attempt. `then` is the job's result, or its next try, or nothing (a late report)."""

    key: JobKey
    number: int
    attempt_id: str
    account: str
    provider: str
    model: str
    """The name asked for at the provider."""
    state: AttemptState
    then: Conclusion | Again | None
    usage: Usage = NO_USAGE
    cost: Decimal | None = None
    price_version: str | None = None
    error: CallError | None = None
    request_id: str | None = None
    """The provider's id of the call."""
    sent_at: float | None = None
    finished_at: float
    """Seconds since the epoch, on the worker's clock: the hour it is accounted to."""
