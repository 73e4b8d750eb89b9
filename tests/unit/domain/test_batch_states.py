"""How a batch may move, and when it has ended."""

import itertools

import pytest

from broker.domain.batch import MOVES, TERMINAL, BatchState, Counts, moved, when_all_finished
from broker.errors import IllegalMove

B = BatchState
LEGAL = {
    (B.RECEIVING, B.RUNNING), (B.RECEIVING, B.COMPLETED), (B.RECEIVING, B.FAILED), (B.RECEIVING, B.CANCELLED),
    (B.RUNNING, B.PAUSED), (B.RUNNING, B.CANCELLING), (B.RUNNING, B.COMPLETED),
    (B.PAUSED, B.RUNNING), (B.PAUSED, B.CANCELLING), (B.PAUSED, B.COMPLETED),
    (B.CANCELLING, B.CANCELLED),
}  # fmt: skip


@pytest.mark.parametrize(("current", "to"), list(itertools.product(BatchState, repeat=2)))
def test_a_batch_moves_only_along_the_table(current: BatchState, to: BatchState) -> None:
    if (current, to) in LEGAL:
        assert moved(current, to) is to
    else:
        with pytest.raises(IllegalMove, match=f"batch: no move from {current} to {to}"):
            moved(current, to)


def test_the_table_names_every_state() -> None:
    assert set(MOVES) == set(BatchState)


def test_a_batch_ends_completed_cancelled_or_failed() -> None:
    assert {B.COMPLETED, B.CANCELLED, B.FAILED} == TERMINAL


@pytest.mark.parametrize(
    ("current", "ended"),
    [
        (B.RUNNING, B.COMPLETED),
        (B.PAUSED, B.COMPLETED),
        (B.CANCELLING, B.CANCELLED),
        (B.COMPLETED, B.COMPLETED),
        (B.CANCELLED, B.CANCELLED),
        (B.FAILED, B.FAILED),
    ],
)
def test_the_last_result_ends_a_batch_and_never_rewrites_an_end(current: BatchState, ended: BatchState) -> None:
    assert when_all_finished(current) is ended


def test_finished_is_every_job_with_a_result() -> None:
    assert Counts(total=20, fed=15, succeeded=1, failed=2, cancelled=3, expired=4).finished == 10
