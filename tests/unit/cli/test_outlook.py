import re
from typing import Any

import pytest

from broker.cli.crew import crews
from broker.cli.outlook import Outlook, outlook_json, outlook_lines
from broker.domain.attempt import ErrorClass
from broker.domain.batch import BatchState, Counts
from broker.domain.presence import Presence
from broker.store.claim import Verdict
from broker.store.standing import Played, Standing
from tests.unit.cli.standing_run import a_batch

HOLDER = "process 7 on host"


def an_outlook(state: BatchState = BatchState.RUNNING, holder: str | None = HOLDER, **changes: Any) -> Outlook:
    stands: dict[str, Any] = {
        "in_flight": 20,
        "retrying": {},
        "next_try_in_s": None,
        "rows_per_s": 46.0,
        "last_result_at": 150.0,
        "at": 200.0,
    }
    url = changes.pop("database_url", "sqlite:///penstock.db")
    counts = changes.pop("counts", a_batch().counts)
    finished_at = 160.0 if state is BatchState.COMPLETED else None
    batch = a_batch(state=state, counts=counts, finished_at=finished_at, **changes.pop("batch", {}))
    unknown = changes.pop("unknown", 0)
    fleet = {name: changes.pop(name) for name in ("feeder", "crews", "unserved") if name in changes}
    stands |= changes
    return Outlook(batch=batch, standing=Standing(**stands), unknown=unknown, holder=holder, database_url=url, **fleet)


SUBMITTED = {"output": None}
"""A batch of a fleet."""


def a_fleet(*processes: Presence, state: BatchState = BatchState.RUNNING, **changes: Any) -> Outlook:
    """A batch of a fleet with these live processes, which is fed."""
    feeder = Played(holder="serve-1", seen_ago_s=2.0)
    facts: dict[str, Any] = {"batch": SUBMITTED, "feeder": feeder, "crews": crews(processes)}
    return an_outlook(state, None, **(facts | changes))


def a_process(account: str = "north", **changes: Any) -> Presence:
    facts: dict[str, Any] = {"worker_id": "w", "in_flight": 3, "slots": 8, "waits_for": None, "busy": 0.1}
    return Presence(account=account, **(facts | changes))


def told(outlook: Outlook) -> str:
    return "\n".join(outlook_lines(outlook))


def test_a_running_batch_says_what_it_costs_and_when_it_ends() -> None:
    text = told(an_outlook())
    for words in (
        "batch 3: jobs.jsonl → /data/out.jsonl", "state    running, by process 7 on host",
        "5,400 of 10,000 done (54 %): 5,380 succeeded, 20 failed, 20 in flight, 4,580 waiting",
        "$0.4312 so far, about $0.7985 in the end", "ends     in 1 min 40 s", "46.0 rows/s",
        "`penstock results 3 --state failed` shows them",
    ):  # fmt: skip
        assert words in text
    assert outlook_json(an_outlook())["eta_s"] == 100.0


@pytest.mark.parametrize(
    ("state", "holder", "words"),
    [
        (
            BatchState.RUNNING,
            None,
            "nothing runs it; resume with: penstock run jobs.jsonl --output /data/out.jsonl (add the ",
        ),
        (BatchState.CANCELLING, None, "its cancelling was not finished; do that with: penstock cancel 3"),
        (BatchState.CANCELLING, HOLDER, "being cancelled, by process 7 on host"),
        (BatchState.RECEIVING, None, "its input was not read to the end; go on there with: penstock run"),
        (BatchState.RECEIVING, HOLDER, "its input is being read by process 7 on host"),
        (BatchState.PAUSED, HOLDER, "state    paused"),
        (BatchState.COMPLETED, None, "state    completed"),
    ],
)
def test_what_happens_depends_on_who_works_on_it(state: BatchState, holder: str | None, words: str) -> None:
    assert words in told(an_outlook(state, holder))


def test_a_batch_that_nobody_runs_has_no_end_in_sight() -> None:
    outlook = an_outlook(holder=None)
    assert "ends  " not in told(outlook)
    assert (outlook_json(outlook)["eta_s"], outlook_json(outlook)["rows_per_s"]) == (None, 0.0)


def test_rows_that_wait_for_another_try_are_told_with_why() -> None:
    text = told(an_outlook(retrying={"rate_limited": 12, "unheard_of": 1}, next_try_in_s=3.0))
    assert "waits    12 rows for another try, after being told to slow down" in text
    assert "waits    1 row for another try, unheard_of" in text
    assert "the next in 3.0 s" in text


NEVER_TRIED_AGAIN = {ErrorClass.INVALID_REQUEST, ErrorClass.CONTENT_FILTER, ErrorClass.WORKER_CRASH}


@pytest.mark.parametrize(
    "why",
    [
        *sorted({*ErrorClass} - NEVER_TRIED_AGAIN),
        Verdict.PAUSED,
        Verdict.NOT_HERE,
        "next_part",
        "account blocked",
        "paused: ramp",
    ],
)
def test_every_reason_to_wait_has_its_words(why: str) -> None:
    text = told(an_outlook(retrying={why: 2}))
    assert re.search(r"2 rows for another try, (after|as|for) ", text)


def test_the_database_is_part_of_the_command_that_resumes() -> None:
    text = told(an_outlook(holder=None, database_url="postgresql://me:canary@db/x"))
    assert "--database postgresql://me@db/x" in text
    assert "canary" not in text


def test_calls_without_an_answer_are_told() -> None:
    assert "unknown  2 calls ended without an answer" in told(an_outlook(unknown=2))
    assert "unknown " not in told(an_outlook())
    assert outlook_json(an_outlook(unknown=2))["unknown"] == 2


def test_an_empty_beginning_has_no_expected_cost() -> None:
    assert an_outlook(counts=Counts(total=10)).expected_cost is None


def test_a_fleet_says_who_works_and_when_it_ends() -> None:
    text = told(a_fleet(a_process(), a_process("south", waits_for="tokens"), a_process()))
    assert "state    running, by the fleet" in text
    assert "works    north: 2 processes, 6 of 16 calls in flight\n" in text
    assert "works    south: 1 process, 3 of 8 calls in flight, at its limit of tokens" in text
    assert "ends     in 1 min 40 s" in text
    assert "waits  " not in text
    facts = outlook_json(a_fleet(a_process(waits_for="tokens")))
    assert (facts["fed"], facts["eta_s"], facts["feeder_seen_ago_s"]) == (True, 100.0, 2.0)
    assert facts["workers"] == [
        {"account": "north", "processes": 1, "in_flight": 3, "slots": 8, "waits_for": {"tokens": 1}}
    ]


def test_some_of_an_accounts_processes_wait() -> None:
    text = told(a_fleet(a_process(waits_for="slots"), a_process(waits_for="requests"), a_process(slots=None)))
    assert "3 processes, 9 calls in flight, 1 of them: all its slots are in use, 1 of them: at its limit of r" in text


@pytest.mark.parametrize(
    ("feeder", "words"),
    [
        (None, "waits: no `penstock serve` feeds it (none ever has)"),
        (Played(holder="x", seen_ago_s=None), "waits: no `penstock serve` feeds it (the last has stopped)"),
        (Played(holder="x", seen_ago_s=10.0), "waits: no `penstock serve` feeds it (the last was seen 10 s ago)"),
        (Played(holder="x", seen_ago_s=9.9), "running, by the fleet"),
    ],
)
def test_a_batch_that_nobody_feeds_says_so(feeder: Played | None, words: str) -> None:
    outlook = a_fleet(a_process(), feeder=feeder)
    assert words in told(outlook)
    assert (outlook.eta_s is None) == ("waits" in words)


def test_what_holds_a_fleet_up_is_told() -> None:
    assert "waits    for workers: none is alive; start `penstock fleet`" in told(a_fleet())
    missing = a_fleet(a_process(), unserved=("judge", "large@azure"))
    assert "waits    for a worker that serves judge, large@azure: none that is alive does" in told(missing)
    held_up = a_fleet(a_process(waits_for="requests"), a_process("south", waits_for="paused: rate_limited"))
    assert "waits    for the accounts: every worker is held up" in told(held_up)
    assert "south: 1 process, 3 of 8 calls in flight, paused: the provider says it is going too fast" in told(held_up)


def test_a_paused_batch_says_how_it_goes_on() -> None:
    text = told(a_fleet(a_process(), state=BatchState.PAUSED))
    assert "state    paused; let it go on with: penstock resume 3" in text
    assert "ends  " not in text


def test_a_batch_of_a_fleet_is_not_run_by_whoever_runs_another() -> None:
    outlook = an_outlook(holder=HOLDER, batch=SUBMITTED)
    assert "waits: no `penstock serve` feeds it" in told(outlook)
    assert not outlook.running


def test_an_open_batch_with_a_name_that_continues_another_says_all_that() -> None:
    text = told(an_outlook(batch={"name": "evals", "sealed": False, "continues": 2}))
    assert text.startswith("batch 3 (evals): jobs.jsonl, rows of batch 2 again → /data/out.jsonl")
    assert "; open, more rows may come until it is sealed" in text
