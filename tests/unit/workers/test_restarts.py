"""How long a place stays empty."""

import pytest

from workers.restarts import FIRST_S, LASTED_S, LONGEST_S, REFUSED_S, Ending, Restarts


def crashed(ran_s: float = 0.1) -> Ending:
    return Ending(status=1, ran_s=ran_s)


def test_the_pause_doubles_up_to_a_minute() -> None:
    restarts = Restarts(lambda: 0.5)
    pauses = [restarts.pause_after(crashed()) for _ in range(9)]
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, LONGEST_S, LONGEST_S]
    assert restarts.in_a_row == 9


def test_a_process_that_lasted_starts_the_count_again() -> None:
    restarts = Restarts(lambda: 0.5)
    for _ in range(5):
        restarts.pause_after(crashed())
    assert restarts.pause_after(crashed(LASTED_S - 0.1)) == 16.0
    assert restarts.pause_after(crashed(LASTED_S)) == FIRST_S
    assert restarts.in_a_row == 1


def test_a_refused_configuration_waits_for_an_operator_from_the_first_time() -> None:
    assert Restarts(lambda: 0.5).pause_after(Ending(status=2, ran_s=0.1)) == REFUSED_S


@pytest.mark.parametrize(("random", "share"), [(0.0, 0.75), (0.999_999_999, 1.25)])
def test_pauses_are_spread(random: float, share: float) -> None:
    assert Restarts(lambda: random).pause_after(crashed()) == pytest.approx(share * FIRST_S)


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (Ending(status=-9, ran_s=3.21), "ended by signal 9 (SIGKILL) after 3.2 s"),
        (Ending(status=-63, ran_s=1), "ended by signal 63 (unknown) after 1.0 s"),
        (Ending(status=0, ran_s=1), "ended with exit status 0 after 1.0 s"),
        (Ending(status=2, ran_s=1), "refused its configuration (exit status 2) after 1.0 s; its own words are above"),
        (Ending(status=None, ran_s=0, trouble="no memory"), "could not be started: no memory"),
    ],
)
def test_an_ending_is_told_in_words(ending: Ending, words: str) -> None:
    assert ending.words() == words
