"""Races between operations on PostgreSQL, each played out between two statements of the other operation."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from sqlalchemy import Connection, event, text

from broker.domain.batch import BatchState
from broker.domain.job import JobKey
from broker.domain.report import Part
from broker.domain.result import ResultState
from broker.store import batches, manifest, workers
from broker.store.claim import Claim, Claimant, Claimed, Verdict, claim
from broker.store.engine import open_database
from broker.store.finish import sweep
from broker.store.record import record
from broker.store.tables import attempts, part_answers
from broker.testing.builders import ACCOUNT, PROVIDER, a_claim, a_report
from broker.testing.contracts.store import Ledger, opened

OTHER = Claimant(worker_id="worker-2", account=ACCOUNT, provider=PROVIDER)


@pytest.fixture
def ledger(postgres_url: str) -> Iterator[Ledger]:
    with opened(postgres_url) as ledger:
        yield ledger


class Elsewhere:
    """Operations in another thread with connections of its own, each committed when `run` returns."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._thread = ThreadPoolExecutor(1)

    def start(self, operation: Callable[[Connection], object]) -> "Future[object]":
        return self._thread.submit(asyncio.run, self._run(operation))

    def run(self, operation: Callable[[Connection], object]) -> object:
        return self.start(operation).result(timeout=20)

    async def _run(self, operation: Callable[[Connection], object]) -> object:
        database = open_database(self._url)
        try:
            return await database.write(operation)
        finally:
            await database.close()

    def close(self) -> None:
        self._thread.shutdown()


@pytest.fixture
def elsewhere(postgres_url: str) -> Iterator[Elsewhere]:
    elsewhere = Elsewhere(postgres_url)
    yield elsewhere
    elsewhere.close()


@dataclass
class Interruption:
    """Something that happens elsewhere just before the n-th statement of an operation, once."""

    before: int
    what: Callable[[], object]
    happened: bool = False
    seen: int = 0

    def listen(self, connection: Connection) -> None:
        @event.listens_for(connection, "before_cursor_execute")
        def _before(*_: object) -> None:
            if self.seen == self.before:
                self.happened = True
                self.what()
            self.seen += 1


def interrupted_claim(
    connection: Connection, interruption: Interruption, claimant: Claimant, claims: Sequence[Claim]
) -> list[Claimed]:
    interruption.listen(connection)
    return claim(connection, claimant, claims)


def claim_then_record(connection: Connection, key: JobKey) -> None:
    (answer,) = claim(connection, OTHER, [a_claim(key)])
    assert answer.verdict is Verdict.GRANTED
    record(connection, [a_report(key, answer.number)])


@pytest.mark.parametrize("begun", [True, False], ids=["its attempt was open", "nobody had begun"])
def test_a_job_that_finishes_during_a_claim_is_not_granted(ledger: Ledger, elsewhere: Elsewhere, begun: bool) -> None:
    """Whenever the answer is committed, before any statement of the claim, the claim decides on it or collides."""
    ledger.write(workers.register, "worker-2", ACCOUNT)
    me = Claimant(worker_id=ledger.worker, account=ACCOUNT, provider=PROVIDER)
    for statement in itertools.count():
        key = JobKey(ledger.batch(), 0)
        if begun:
            ledger.claim(a_claim(key), worker="worker-2")
            finishes = Interruption(statement, lambda: elsewhere.run(lambda c: record(c, [a_report(key)])))  # noqa: B023
        else:
            finishes = Interruption(statement, lambda: elsewhere.run(lambda c: claim_then_record(c, key)))  # noqa: B023
        (answer,) = ledger.write(interrupted_claim, finishes, me, [a_claim(key)])
        if not finishes.happened:
            break
        assert answer.verdict in (Verdict.FINISHED, Verdict.ELSEWHERE), f"before statement {statement}"
        assert len([row for row in ledger.rows(attempts) if row["batch_id"] == key.batch_id]) == 1
    assert statement >= 4


def test_a_claim_beside_the_report_of_a_part_is_refused_or_knows_the_part(ledger: Ledger, elsewhere: Elsewhere) -> None:
    """A turn that came twice: whenever the part is committed, nobody asks for the same answer again."""
    ledger.write(workers.register, "worker-2", ACCOUNT)
    me = Claimant(worker_id=ledger.worker, account=ACCOUNT, provider=PROVIDER)
    for statement in itertools.count():
        key = JobKey(ledger.batch(), 0)
        ledger.claim(a_claim(key), worker="worker-2")
        part = a_report(key, then=Part(number=0, body=b"first"))
        comes = Interruption(statement, lambda: elsewhere.run(lambda c: record(c, [part])))  # noqa: B023
        (answer,) = ledger.write(interrupted_claim, comes, me, [a_claim(key)])
        if not comes.happened:
            break
        assert (answer.verdict, answer.parts) in [
            (Verdict.ELSEWHERE, ()),
            (Verdict.GRANTED, (b"first",)),
        ], f"before statement {statement}"
    assert statement >= 4


def test_two_recorders_of_one_place_keep_one_part(ledger: Ledger, elsewhere: Elsewhere) -> None:
    """The late answer of a lost call and that of its successor: the second recorder sees what the first one kept."""
    key = JobKey(ledger.batch(2), 0)
    ledger.dies(key, worker="dead")
    ledger.claim(a_claim(key))
    reports = [a_report(key, number, then=Part(number=0, body=b"%d" % number)) for number in (1, 2)]
    second: list[Future[object]] = []

    def report_too() -> None:
        second.append(elsewhere.start(lambda connection: record(connection, reports[1:])))
        watching.run(until_somebody_waits)

    watching = Elsewhere(ledger.database.url.render_as_string(hide_password=False))
    interruption = Interruption(3, report_too)

    def first(connection: Connection) -> None:
        interruption.listen(connection)
        record(connection, reports[:1])

    ledger.write(first)
    watching.close()
    second[0].result(timeout=20)
    assert [row["body"] for row in ledger.rows(part_answers)] == [b"1"]
    assert sorted(ledger.attempt_states(key.batch_id).items()) == [((0, 1), "ok"), ((0, 2), "discarded")]
    assert ledger.due_keys() == [key]
    ledger.audit()


def test_the_sweep_of_a_cancelled_batch_waits_for_a_claim_that_has_begun(ledger: Ledger, elsewhere: Elsewhere) -> None:
    """Else a job would be cancelled and paid for."""
    batch_id = ledger.batch(2)
    swept: list[Future[object]] = []

    def cancel() -> None:
        elsewhere.run(lambda connection: batches.move(connection, batch_id, BatchState.CANCELLING))
        swept.append(elsewhere.start(lambda connection: sweep(connection, batch_id, 0)))
        watching.run(until_somebody_waits)

    watching = Elsewhere(ledger.database.url.render_as_string(hide_password=False))
    cancelled = Interruption(3, cancel)
    me = Claimant(worker_id=ledger.worker, account=ACCOUNT, provider=PROVIDER)
    (answer,) = ledger.write(interrupted_claim, cancelled, me, [a_claim((batch_id, 1))])
    watching.close()
    assert (answer.verdict, cancelled.happened) == (Verdict.GRANTED, True)
    assert swept[0].result(timeout=20) == 1
    assert [(result.position, result.state) for result in ledger.results(batch_id)] == [(0, ResultState.CANCELLED)]
    ledger.record(a_report((batch_id, 1)))
    assert ledger.get(batch_id).state is BatchState.CANCELLED
    ledger.audit()


def until_somebody_waits(connection: Connection) -> None:
    """Return once a statement of this database waits for a lock."""
    waiting = text(
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    )
    deadline = time.monotonic() + 20
    while not connection.execute(waiting).scalar_one():
        connection.execute(text("select pg_stat_clear_snapshot()"))
        assert time.monotonic() < deadline, "nobody waits for the claim"


def test_recorders_of_one_batch_come_one_after_the_other(ledger: Ledger, elsewhere: Elsewhere) -> None:
    """The second one's facts include what the first one committed: one result, and the other answer discarded."""
    batch_id = ledger.batch(2)
    ledger.dies(JobKey(batch_id, 0), worker="dead")
    ledger.claim_all(batch_id, 1)
    reports = [a_report((batch_id, 0), number) for number in (1, 2)]
    second: list[Future[object]] = []

    def report_too() -> None:
        second.append(elsewhere.start(lambda connection: record(connection, reports[1:])))
        watching.run(until_somebody_waits)

    watching = Elsewhere(ledger.database.url.render_as_string(hide_password=False))
    interruption = Interruption(2, report_too)

    def first(connection: Connection) -> None:
        interruption.listen(connection)
        record(connection, reports[:1])

    ledger.write(first)
    watching.close()
    second[0].result(timeout=20)
    assert sorted(ledger.attempt_states(batch_id).items()) == [((0, 1), "ok"), ((0, 2), "discarded")]
    ledger.audit()


def test_claims_go_on_while_a_recorder_holds_their_batch(ledger: Ledger, elsewhere: Elsewhere) -> None:
    batch_id = ledger.batch(2)
    ledger.claim_all(batch_id, 1)
    answers: list[object] = []
    me = Claimant(worker_id=ledger.worker, account=ACCOUNT, provider=PROVIDER)

    def claim_another() -> None:
        answers.append(elsewhere.run(lambda connection: claim(connection, me, [a_claim((batch_id, 1))])))

    interruption = Interruption(4, claim_another)

    def recording(connection: Connection) -> None:
        interruption.listen(connection)
        record(connection, [a_report((batch_id, 0))])

    ledger.write(recording)
    assert answers == [[Claimed(verdict=Verdict.GRANTED, number=1)]]


def test_cursors_of_several_batches_move_while_their_results_are_recorded(ledger: Ledger, elsewhere: Elsewhere) -> None:
    """Both lock batches in id order, so that neither waits for the other for ever."""
    first, second = ledger.batch(), ledger.batch()
    ledger.claim_all(first, 1)
    ledger.claim_all(second, 1)
    reports = [a_report((first, 0)), a_report((second, 0))]
    recorded: list[Future[object]] = []

    def report() -> None:
        recorded.append(elsewhere.start(lambda connection: record(connection, reports)))
        watching.run(until_somebody_waits)

    watching = Elsewhere(ledger.database.url.render_as_string(hide_password=False))
    interruption = Interruption(3, report)

    def advancing(connection: Connection) -> None:
        interruption.listen(connection)
        manifest.advance(connection, [(second, 0, 1), (first, 0, 1)])

    ledger.write(advancing)
    watching.close()
    recorded[0].result(timeout=20)
    assert [ledger.get(batch_id).counts.fed for batch_id in (first, second)] == [1, 1]
    ledger.audit()
