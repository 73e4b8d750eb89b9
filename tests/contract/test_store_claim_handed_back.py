"""Jobs that a claim hands back to the feeder, on both databases: once each, and not to come round at once."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import update

from broker.domain.attempt import AttemptState, CallError, ErrorClass, Scope
from broker.domain.batch import BatchState
from broker.domain.job import JobKey
from broker.domain.report import Again
from broker.store import batches
from broker.store.claim import NOT_HERE_AT_MOST_S, NOT_HERE_FOR_S, Verdict
from broker.store.sql import now
from broker.store.tables import attempts, due
from broker.testing.builders import a_claim, a_report
from broker.testing.contracts.store import Ledger, opened


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    with opened(database_url) as ledger:
        yield ledger


def refused_for_good(ledger: Ledger, batch_id: int) -> JobKey:
    key = JobKey(batch_id, 0)
    ledger.claim(a_claim(key))
    error = CallError(error_class=ErrorClass.NOT_FOUND, scope=Scope.OTHER, message="not here")
    refusal = a_report(key, state=AttemptState.REFUSED, then=Again(in_s=0.0, why=ErrorClass.NOT_FOUND))
    ledger.record(replace(refusal, error=error))
    return key


@pytest.mark.parametrize("verdict", [Verdict.PAUSED, Verdict.NOT_HERE])
def test_a_job_that_comes_twice_in_one_claim_is_handed_back_once(ledger: Ledger, verdict: Verdict) -> None:
    """A turn that was published again comes beside its first copy: one statement may touch a row only once."""
    batch_id = ledger.batch()
    key = refused_for_good(ledger, batch_id)
    if verdict is Verdict.PAUSED:
        ledger.write(batches.move, batch_id, BatchState.PAUSED)
    twice = [replace(a_claim(key, name, from_due=True), others=frozenset({"other"})) for name in ("first", "second")]
    answers = ledger.claim(*twice, replace(a_claim((batch_id, 1)), others=frozenset({"other"})))
    assert [answer.verdict for answer in answers[:2]] == [verdict, verdict]
    assert [row["why"] for row in ledger.rows(due) if row["position"] == 0] == [verdict]
    ledger.audit()


def test_a_job_that_is_not_for_this_account_gives_others_a_moment_to_take_it(ledger: Ledger) -> None:
    key = refused_for_good(ledger, ledger.batch())
    before = ledger.read(now)
    ledger.claim(replace(a_claim(key, from_due=True), others=frozenset({"other"})))
    (row,) = ledger.rows(due)
    assert row["at"] >= before + NOT_HERE_FOR_S > before


@pytest.mark.parametrize(("waited_s", "away_s"), [(0.5, NOT_HERE_FOR_S), (20.0, 5.0), (1e6, NOT_HERE_AT_MOST_S)])
def test_a_job_that_nobody_else_takes_comes_round_less_and_less(ledger: Ledger, waited_s: float, away_s: float) -> None:
    """The account that could take it may be gone for good: its jobs must not keep those busy that cannot."""
    key = refused_for_good(ledger, ledger.batch())
    ledger.write(lambda connection: connection.execute(update(attempts).values(claimed_at=now(connection) - waited_s)))
    before = ledger.read(now)
    ledger.claim(replace(a_claim(key, from_due=True), others=frozenset({"other"})))
    (row,) = ledger.rows(due)
    assert row["at"] == pytest.approx(before + away_s, abs=0.9)
