"""What the database knows of the jobs that a set of reports is about, under the locks of their batches."""

from dataclasses import dataclass
from decimal import Decimal

from broker.domain.attempt import AttemptState
from broker.domain.batch import BatchState
from broker.domain.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPart:
    """A part of a job's answer that is there, and what its call has used."""

    number: int
    usage: Usage
    cost: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What the database knows of one report's attempt and job, under the batch lock."""

    attempt: AttemptState | None
    finished: bool
    due: bool
    parts: tuple[KeptPart, ...] = ()
    """In the order of their numbers; looked for only where an earlier attempt may have brought some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFacts:
    """A locked batch."""

    state: BatchState
    total: int
    finished: int
    project: str
    tag: str
    sealed: bool = True
    """No more jobs will come."""
