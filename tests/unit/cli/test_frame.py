import pytest

from broker.cli.frame import Line, frame, reading
from broker.cli.reasons import state_in_words
from broker.domain.batch import Counts
from broker.progress import AccountProgress, LimitUse, Progress
from tests.unit.cli.standing_run import a_batch, a_progress, an_account
from workers.account_health import Health

REVOKED = an_account("old", state="revoked", reason="Incorrect API key", resumes_in_s=1740.0, in_flight=0, limits=[])


def texts(lines: list[Line]) -> list[str]:
    return ["".join(piece.text for piece in line) for line in lines]


def drawn(progress: Progress, width: int = 100, height: int = 30) -> str:
    return "\n".join(texts(frame(progress, width=width, height=height)))


def test_the_view_tells_rows_pace_cost_and_what_is_left() -> None:
    text = drawn(a_progress())
    for words in (
        "batch 3: jobs.jsonl", "running  1 min 23 s", "54 %", "5,400 of 10,000 rows", "5,380 succeeded", "20 failed",
        "20 in flight", "4,580 waiting", "98.2 rows/s", "21.4k tokens/s", "$0.4312 so far", "47 s left",
        "team-a  20/64 in flight  requests 50 %  tokens 41 %",
    ):  # fmt: skip
        assert words in text


def test_the_bar_is_as_full_as_the_batch() -> None:
    counts = Counts(total=100, succeeded=50, failed=25)
    (good, bad, left, _) = frame(a_progress(batch=a_batch(counts=counts)), width=100, height=30)[1]
    cells = sum(len(piece.text) for piece in (good, bad, left))
    assert len(good.text) / cells == pytest.approx(0.5, abs=1 / cells)
    assert len(bad.text) / cells == pytest.approx(0.25, abs=1 / cells)


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("height", [4, 12, 40])
def test_the_view_fits_its_terminal(width: int, height: int) -> None:
    accounts = [an_account(f"account-{number}-of-a-long-name", waits_for="requests") for number in range(20)]
    progress = a_progress(*accounts, REVOKED, trouble="OperationalError: the disk has gone " * 5, stopping=True)
    lines = texts(frame(progress, width=width, height=height))
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_a_reason_without_room_goes_below() -> None:
    wide, narrow = drawn(a_progress(REVOKED), width=160), drawn(a_progress(REVOKED), width=80)
    reason = "its key is refused: Incorrect API key; tried again in 29 min"
    assert f"no limits declared  {reason}" in wide
    assert f"\n  {reason}" in narrow


def test_accounts_beyond_the_terminal_are_counted() -> None:
    text = drawn(a_progress(*[an_account(f"account-{number}") for number in range(9)]), height=10)
    assert text.endswith("and 6 more accounts")


def test_stopping_trouble_and_no_pace_are_told() -> None:
    text = drawn(a_progress(stopping=True, trouble="it went away", eta_s=None))
    assert "stopping, Ctrl-C again aborts" in text
    assert "the database does not answer: it went away" in text
    assert "no end in sight yet" in text


def test_reading_shows_the_rows_so_far() -> None:
    assert texts([reading("jobs.jsonl", 12_000, width=80)]) == ["reading jobs.jsonl: 12,000 rows"]


@pytest.mark.parametrize(
    ("account", "words"),
    [
        (an_account(), "working"),
        (an_account(in_flight=0), "has nothing to do"),
        (an_account(waits_for="requests"), "at its limit of requests"),
        (an_account(waits_for="tokens_per_day"), "at its limit of tokens per day"),
        (an_account(limits=[LimitUse(resource="input_tokens", share=0.99)]), "at its limit of input tokens"),
        (an_account(in_flight=64), "all its slots are in use"),
        (an_account(waits_for="slots"), "all its slots are in use"),
        (an_account(waits_for="database: gone"), "waits for the database, which does not answer"),
        (
            an_account(state="paused", reason="rate_limited", resumes_in_s=12.0),
            "paused: the provider says it is going too fast; tried again in 12 s",
        ),
        (
            an_account(state="exhausted", reason="You exceeded your quota", resumes_in_s=0.0),
            "its quota is used up: You exceeded your quota",
        ),
    ],
)
def test_why_an_account_waits_is_said_in_words(account: AccountProgress, words: str) -> None:
    assert state_in_words(account) == words


@pytest.mark.parametrize("health", [health for health in Health if health is not Health.ACTIVE])
def test_an_account_that_cannot_be_used_says_why_and_until_when(health: Health) -> None:
    words = state_in_words(an_account(state=str(health), reason="its own words", resumes_in_s=12.0, in_flight=0))
    assert "its own words" in words
    assert words.endswith("in 12 s")


def test_an_account_out_of_reach_is_looked_for() -> None:
    account = an_account(state="unreachable", reason="refused", resumes_in_s=4.0, in_flight=0)
    assert state_in_words(account) == "it cannot be reached (refused), looked for again in 4.0 s"
