import io

import pytest

from broker.cli.views import PlainView, view_for
from broker.domain.batch import BatchState, Counts
from broker.domain.clock import SystemClock
from broker.testing.manual_clock import ManualClock
from tests.unit.cli.standing_run import a_batch, a_progress, an_account


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class LostTerminal(Terminal):
    """Works until it is lost, then fails as terminals and pipes do."""

    def __init__(self, how: OSError) -> None:
        super().__init__()
        self._how = how
        self.lost = False

    def write(self, text: str) -> int:
        if self.lost:
            raise self._how
        return super().write(text)


class LostPipe(LostTerminal):
    def isatty(self) -> bool:
        return False


def test_a_log_gets_a_line_every_few_seconds() -> None:
    clock, lines = ManualClock(), list[str]()
    view = PlainView(lines.append, "jobs.jsonl", clock)
    view.receiving(10)
    assert lines == []
    clock.advance(5)
    view.receiving(120_000)
    view.receiving(130_000)
    assert lines == ["reading jobs.jsonl: 120,000 rows"]
    view.accepted(a_batch(), resumed=False)
    for _ in range(40):
        view.show(a_progress())
        clock.advance(0.25)
    assert lines[1] == "batch 3: accepted 10,000 rows from jobs.jsonl"
    assert lines[2:] == [
        "5,400 of 10,000 rows (54 %), 20 failed, 20 in flight, 98.2 rows/s, 21.4k tokens/s, $0.4312, 47 s left"
    ]


def test_a_log_is_told_at_once_that_the_run_stops_and_which_account_is_blocked() -> None:
    clock, lines = ManualClock(), list[str]()
    view = PlainView(lines.append, "jobs.jsonl", clock)
    view.accepted(a_batch(), resumed=True)
    assert lines == ["batch 3: going on with 4,600 rows of 10,000 from jobs.jsonl"]
    blocked = an_account("old", state="revoked", reason="Incorrect API key", in_flight=0)
    view.show(a_progress(an_account(), blocked, stopping=True))
    view.show(a_progress(stopping=True))
    assert lines[1:] == ["stopping: waiting for 20 calls in flight"]
    clock.advance(5)
    view.show(a_progress(an_account(), blocked, stopping=True))
    assert lines[2].endswith("old: its key is refused: Incorrect API key")


def test_an_ended_batch_is_not_said_to_go_on() -> None:
    lines = list[str]()
    ended = a_batch(state=BatchState.COMPLETED, counts=Counts(total=3, succeeded=3))
    PlainView(lines.append, "jobs.jsonl", ManualClock()).accepted(ended, resumed=True)
    assert lines == ["batch 3 has ended before: only its output is written again"]


def test_a_terminal_is_drawn_on_and_left_clean() -> None:
    terminal = Terminal()
    with view_for("jobs.jsonl", SystemClock(), terminal) as view:
        view.receiving(5)
        view.accepted(a_batch(), resumed=False)
        view.show(a_progress())
    text = terminal.getvalue()
    assert "5,400 of 10,000 rows" in text
    assert text.rstrip().endswith(("\x1b[2K", "\x1b[?25h"))


@pytest.mark.parametrize("stream", [LostTerminal, LostPipe])
@pytest.mark.parametrize("how", [OSError(5, "Input/output error"), BrokenPipeError(32, "Broken pipe")])
def test_a_terminal_that_is_gone_does_not_end_the_run(stream: type[LostTerminal], how: OSError) -> None:
    terminal = stream(how)
    with view_for("jobs.jsonl", SystemClock(), terminal) as view:
        terminal.lost = True
        view.receiving(5)
        view.accepted(a_batch(), resumed=False)
        view.show(a_progress())
