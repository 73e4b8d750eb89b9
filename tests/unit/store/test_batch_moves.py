"""The moves that a batch and an attempt may make."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain import attempt, batch
from broker.domain.attempt import AttemptState
from broker.domain.batch import TERMINAL, BatchState, when_all_finished
from broker.errors import IllegalMove


@pytest.mark.parametrize(("current", "to"), list(product(AttemptState, AttemptState)))
def test_an_attempt_moves_by_its_table_only(current: AttemptState, to: AttemptState) -> None:
    if to in attempt.MOVES[current]:
        assert attempt.moved(current, to) is to
    else:
        with pytest.raises(IllegalMove, match=f"attempt: no move from {current} to {to}"):
            attempt.moved(current, to)


def test_nothing_moves_back_to_open() -> None:
    assert not any(AttemptState.OPEN in moves for moves in attempt.MOVES.values())


@given(moves=st.lists(st.sampled_from(AttemptState), max_size=12))
def test_an_attempt_reports_at_most_once(moves: list[AttemptState]) -> None:
    state, reported = AttemptState.OPEN, 0
    for to in moves:
        if to in attempt.MOVES[state]:
            state = attempt.moved(state, to)
            reported += state is not AttemptState.UNKNOWN
    assert reported <= 1


@given(moves=st.lists(st.sampled_from(BatchState), max_size=12))
def test_a_batch_that_ended_stays_as_it_ended(moves: list[BatchState]) -> None:
    state = BatchState.RECEIVING
    for to in moves:
        if to in batch.MOVES[state]:
            assert state not in TERMINAL
            state = batch.moved(state, to)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_terminal_state_is_kept_when_all_is_finished(state: BatchState) -> None:
    assert when_all_finished(state) is state
