"""What a worker reports of one attempt, to be committed with everything that follows from it."""

from dataclasses import dataclass
from decimal import Decimal

from broker.domain.attempt import AttemptState, CallError
from broker.domain.job import JobKey
from broker.domain.loss import Loss
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
    warnings: tuple[Loss, ...] = ()
    """What the translation of the request could not carry over."""
    parts: int = 0
    """Of a job that takes several calls: how many earlier answers of its own are part of this. Their usage counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One answer of several that a job takes, and not the last: kept, and the job is due again at once."""

    number: int
    """Counted from 0: as many as the job had when this attempt was claimed."""
    body: bytes
    """In whatever form the worker that brings the last one can read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """The job is handed back: due in `in_s` seconds on the database's clock."""

    in_s: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The end of one attempt. `then` is the job's result, a part of it, its next try, or nothing (a late report)."""

    key: JobKey
    number: int
    attempt_id: str
    account: str
    provider: str
    model: str
    """The name asked for at the provider."""
    state: AttemptState
    then: Conclusion | Part | Again | None
    usage: Usage = NO_USAGE
    cost: Decimal | None = None
    price_version: str | None = None
    error: CallError | None = None
    request_id: str | None = None
    """The provider's id of the call."""
    sent_at: float | None = None
    finished_at: float
    """Seconds since the epoch, on the worker's clock: the hour it is accounted to."""
