"""A result: the one terminal row of a job."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from broker.domain.loss import Loss
from broker.domain.usage import Usage


class ResultState(StrEnum):
    """How a job ended; each job ends exactly once."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class ResultLine(NamedTuple):
    """What of a result goes into an output file; many are read a second."""

    batch_id: int
    position: int
    seq: int
    custom_id: str | None
    state: str
    """A value of `ResultState`."""
    status: int | None
    body: bytes | None
    error_code: str | None
    error_message: str | None
    request_id: str | None
    warnings: str | None = None
    """What was lost in translation: a JSON list of `{"code", "path", "detail", "class"}`; `None`: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A finished job. `seq` is gapless and in commit order within its batch."""

    batch_id: int
    position: int
    seq: int
    custom_id: str | None
    state: ResultState
    status: int | None
    """HTTP status of the provider's answer, if there was one."""
    body: bytes | None
    """The answer in the producer's dialect; the provider's error body for a failed job that got one."""
    error_code: str | None
    error_message: str | None
    request_id: str | None
    usage: Usage
    cost: Decimal | None
    account: str | None
    provider: str | None
    model: str | None
    """The model that the provider says it served."""
    attempts: int
    finished_at: float
    warnings: tuple[Loss, ...] = ()
    """What the translation of the request could not carry over."""
