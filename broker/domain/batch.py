"""A batch and the moves its state may make.

receiving ──▶ running ◀──▶ paused
    │            │           │
    ▼            ├───────────┴──▶ cancelling ──▶ cancelled
  failed         └──▶ completed
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from broker.domain.form import BatchForm
from broker.domain.loss import OnLoss
from broker.domain.usage import Usage
from broker.errors import IllegalMove


class BatchState(StrEnum):
    """Where a batch stands."""

    RECEIVING = "receiving"
    """Its input is being read; nothing is fed yet."""
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    """No new call starts; calls in flight may still finish."""
    COMPLETED = "completed"
    """Every job has a result, whatever that is."""
    CANCELLED = "cancelled"
    FAILED = "failed"
    """The input did not validate; no job ever ran."""


MOVES: dict[BatchState, frozenset[BatchState]] = {
    BatchState.RECEIVING: frozenset(
        {BatchState.RUNNING, BatchState.COMPLETED, BatchState.FAILED, BatchState.CANCELLED}
    ),
    BatchState.RUNNING: frozenset({BatchState.PAUSED, BatchState.CANCELLING, BatchState.COMPLETED}),
    BatchState.PAUSED: frozenset({BatchState.RUNNING, BatchState.CANCELLING, BatchState.COMPLETED}),
    BatchState.CANCELLING: frozenset({BatchState.CANCELLED}),
    BatchState.COMPLETED: frozenset(),
    BatchState.CANCELLED: frozenset(),
    BatchState.FAILED: frozenset(),
}
TERMINAL = frozenset(state for state, moves in MOVES.items() if not moves)


def moved(current: BatchState, to: BatchState) -> BatchState:
    """The new state; raises `IllegalMove` for a move that is not in the table."""
    if to not in MOVES[current]:
        raise IllegalMove("batch", current, to)
    return to


def when_all_finished(current: BatchState) -> BatchState:
    """The state of a batch whose last job has just got its result; a terminal state is never rewritten."""
    if current in TERMINAL:
        return current
    return moved(current, BatchState.CANCELLED if current is BatchState.CANCELLING else BatchState.COMPLETED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Jobs of a batch by state."""

    total: int = 0
    fed: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0

    @property
    def finished(self) -> int:
        return self.succeeded + self.failed + self.cancelled + self.expired


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch as the ledger sees it; times are seconds since the epoch."""

    id: int
    project: str
    tag: str
    state: BatchState
    weight: float
    counts: Counts
    usage: Usage
    cost: Decimal
    unpriced: int
    """Attempts that used tokens at an unknown price, and so are missing from `cost`."""
    created_at: float
    accepted_at: float | None
    finished_at: float | None
    source: str
    """What it was read from, for people: a file name."""
    output: str | None
    form: BatchForm = BatchForm.OPENAI
    """How its rows were written, and its results will be."""
    on_loss: OnLoss = OnLoss.FAIL
    use: str | None = None
    """What its answers are for: a licence that accounts may have."""
    name: str | None = None
    """What its producer calls it; unique in its project."""
    sealed: bool = True
    """False: it is open, more jobs may come, and it does not complete."""
    continues: int | None = None
    """The batch whose rows it runs again."""
