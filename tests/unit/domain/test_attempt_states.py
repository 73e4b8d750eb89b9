"""How an attempt may move."""

import itertools

import pytest

from broker.domain.attempt import MOVES, AttemptState, moved
from broker.errors import IllegalMove

REPORTED = {AttemptState.OK, AttemptState.REFUSED, AttemptState.FAILED, AttemptState.DISCARDED}
LEGAL = {(AttemptState.OPEN, to) for to in REPORTED | {AttemptState.UNKNOWN}} | {
    (AttemptState.UNKNOWN, to) for to in REPORTED
}


@pytest.mark.parametrize(("current", "to"), list(itertools.product(AttemptState, repeat=2)))
def test_an_attempt_moves_only_along_the_table(current: AttemptState, to: AttemptState) -> None:
    if (current, to) in LEGAL:
        assert moved(current, to) is to
    else:
        with pytest.raises(IllegalMove, match=f"attempt: no move from {current} to {to}"):
            moved(current, to)


def test_the_table_names_every_state() -> None:
    assert set(MOVES) == set(AttemptState)
