from typing import Any

import pytest

from broker.cli.outlook import Outlook, outlook_json, outlook_lines
from broker.domain.batch import BatchState, Counts
from broker.store.standing import Standing
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
    batch = a_batch(state=state, counts=counts, finished_at=160.0 if state is BatchState.COMPLETED else None)
    unknown = changes.pop("unknown", 0)
    stands |= changes
    return Outlook(batch=batch, standing=Standing(**stands), unknown=unknown, holder=holder, database_url=url)


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
