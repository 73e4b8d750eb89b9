"""A batch that continues another one, on both databases."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from broker.domain.attempt import AttemptState
from broker.domain.batch import BatchState
from broker.domain.job import Endpoint, JobKey
from broker.domain.loss import OnLoss
from broker.domain.result import ResultState
from broker.errors import StoreUnavailable
from broker.intake.problems import ProblemCode
from broker.intake.retrying import NothingToRetry, retry
from broker.intake.segments import SegmentPacker
from broker.store import batches, continuing, manifest, workers
from broker.store.batches import NoSuchBatch
from broker.store.claim import Claimant, claim
from broker.store.engine import Database, open_database
from broker.store.finish import Finish, finish
from broker.store.record import record
from broker.store.segment import SegmentJob, SegmentWriter, pack_line, read_segment, unpack_line
from broker.testing.builders import ACCOUNT, PROVIDER, a_claim, a_failure, a_report, a_submission
from broker.testing.outages import FragileDatabase

FAILED = (ResultState.FAILED,)
SMALL, LARGE = "small", "large@azure"
BODY = '{"model" : "m",  "text":"ä ,\\"body\\":"}'
"""Spaced and escaped as no writer of ours would do it."""

Scenario = Callable[[FragileDatabase], Coroutine[Any, Any, None]]


@pytest.fixture
def run(database_url: str) -> Callable[[Scenario], None]:
    """Run a scenario on one open database."""

    async def whole(scenario: Scenario) -> None:
        async with opened(database_url) as database:
            await database.write(workers.register, "w", ACCOUNT)
            await scenario(database)

    return lambda scenario: asyncio.run(whole(scenario))


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[FragileDatabase]:
    database = FragileDatabase(open_database(url))
    try:
        yield database
    finally:
        await database.close()


def body(position: int) -> bytes:
    return BODY.replace("text", f"text {position}").encode()


async def a_mixed_batch(database: Database, jobs: int = 12, **changes: Any) -> int:
    """Three of four rows go to one route, every fourth to another; several segments of each."""
    batch_id, _ = await database.write(manifest.open_batch, a_submission(**changes))
    drafts = []
    for route, wanted in ((SMALL, (1, 2, 3)), (LARGE, (0,))):
        positions = [position for position in range(jobs) if position % 4 in wanted]
        for start in range(0, len(positions), 2):
            chosen = positions[start : start + 2]
            lines = [pack_line(p, f"näme {p}", Endpoint.CHAT_COMPLETIONS, body(p)) for p in chosen]
            drafts.append(SegmentWriter().draft(route, chosen[0], chosen[-1], lines))
    await database.write(manifest.add_segments, batch_id, 0, drafts)
    await database.write(manifest.seal, batch_id, jobs)
    return batch_id


async def call(database: Database, batch_id: int, *, good: Sequence[int] = (), bad: Sequence[int] = ()) -> None:
    """Call these rows once: they succeed, or end as failed."""
    claims = [a_claim((batch_id, p), f"att-{batch_id}-{p}-1") for p in (*good, *bad)]
    await database.write(claim, Claimant(worker_id="w", account=ACCOUNT, provider=PROVIDER), claims)
    reports = [a_report((batch_id, p)) for p in good]
    reports += [a_report((batch_id, p), 1, AttemptState.FAILED, a_failure(JobKey(batch_id, p))) for p in bad]
    await database.write(record, reports)


async def jobs_of(database: Database, batch_id: int) -> dict[int, tuple[str, SegmentJob]]:
    """Every job of a batch, with its route, by position."""
    found = {}
    for row in await database.read(manifest.segment_rows, batch_id):
        for line in read_segment(await database.read(manifest.payload, batch_id, row.number)):
            job = unpack_line(line)
            assert job.position not in found
            found[job.position] = row.route, job
    return found


def test_failed_rows_run_again_as_they_were_submitted(run: Callable[[Scenario], None]) -> None:
    async def scenario(database: FragileDatabase) -> None:
        old = await a_mixed_batch(database, project="research", tag="weekly", weight=2.5)
        bad = [1, 4, 6, 8, 11]
        await call(database, old, good=[p for p in range(12) if p not in bad], bad=bad)
        retried = await retry(database, old, FAILED)
        assert (retried.rows, retried.known, retried.may_grow) == (5, False, False)
        jobs = await jobs_of(database, retried.batch_id)
        assert sorted(jobs) == list(range(5))
        again = {job.custom_id: (route, job.body) for route, job in jobs.values()}
        assert again == {f"näme {p}": (SMALL if p % 4 else LARGE, body(p)) for p in bad}
        new, before = await database.read(batches.get, retried.batch_id), await database.read(batches.get, old)
        assert (new.state, new.counts.total, new.continues) == (BatchState.RUNNING, 5, old)
        assert (new.project, new.tag, new.weight, new.source) == ("research", "weekly", 2.5, before.source)
        assert (before.counts.succeeded, before.counts.failed) == (7, 5)

    run(scenario)


def test_a_retry_is_for_the_same_use_in_the_same_form_and_loses_no_more(run: Callable[[Scenario], None]) -> None:
    async def scenario(database: FragileDatabase) -> None:
        old = await a_mixed_batch(database, dialect="anthropic", on_loss=OnLoss.DROP, use="non-commercial")
        await call(database, old, bad=range(12))
        retried = await retry(database, old, FAILED)
        before, after = [await database.read(continuing.predecessor, one) for one in (old, retried.batch_id)]
        assert (after.dialect, after.on_loss, after.use) == ("anthropic", OnLoss.DROP, "non-commercial")
        assert (before.dialect, before.on_loss, before.use) == (after.dialect, after.on_loss, after.use)
        assert {job.on_loss for _, job in (await jobs_of(database, retried.batch_id)).values()} == {OnLoss.DROP}

    run(scenario)


def test_asked_again_it_is_the_same_batch_unless_another_is_wanted(run: Callable[[Scenario], None]) -> None:
    async def scenario(database: FragileDatabase) -> None:
        old = await a_mixed_batch(database)
        await call(database, old, bad=range(12))
        first = await retry(database, old, FAILED)
        same = await retry(database, old, FAILED)
        assert (same.batch_id, same.known) == (first.batch_id, True)
        more = await retry(database, old, FAILED, again=True)
        assert more.batch_id != first.batch_id
        assert more.rows == 12
        assert (await retry(database, old, FAILED)).batch_id == more.batch_id
        other = await retry(database, old, (ResultState.FAILED, ResultState.EXPIRED))
        assert other.batch_id not in (first.batch_id, more.batch_id)

    run(scenario)


def test_a_retry_that_was_cut_off_goes_on_with_the_rows_it_began_with(run: Callable[[Scenario], None]) -> None:
    async def scenario(database: FragileDatabase) -> None:
        old = await a_mixed_batch(database)
        await call(database, old, bad=[0, 1, 2])
        database.losing = {manifest.add_segments}
        with pytest.raises(StoreUnavailable):
            await retry(database, old, FAILED)
        await call(database, old, bad=[5])
        database.losing, database.failing = set(), {manifest.seal}
        with pytest.raises(StoreUnavailable):
            await retry(database, old, FAILED)
        await call(database, old, bad=[6])
        database.failing = set()
        assert [batch.state for batch in await database.read(batches.newest, 1)] == [BatchState.RECEIVING]
        retried = await retry(database, old, FAILED, again=True)
        assert (retried.rows, retried.may_grow) == (3, True)
        assert {job.custom_id for _, job in (await jobs_of(database, retried.batch_id)).values()} == {
            "näme 0", "näme 1", "näme 2",
        }  # fmt: skip
        assert len(await database.read(batches.newest, 10)) == 2
        assert (await retry(database, old, FAILED, again=True)).rows == 5

    run(scenario)


def test_a_cut_between_two_portions_stores_no_row_twice(run: Callable[[Scenario], None]) -> None:
    async def scenario(database: FragileDatabase) -> None:
        old = await a_mixed_batch(database, 40)
        await call(database, old, bad=range(40))
        stored = 0

        def second_portion_fails(operation: Callable[..., Any]) -> None:
            nonlocal stored
            stored += operation is manifest.add_segments
            if stored == 2:
                raise StoreUnavailable("cut")

        database.before = second_portion_fails
        with pytest.raises(StoreUnavailable):
            await retry(database, old, FAILED, packer=small_segments)
        database.before = lambda _: None
        (cut,) = await database.read(continuing.successors, "default", old)
        assert 0 < len(await jobs_of(database, cut.batch_id)) < 40
        assert (await retry(database, old, FAILED, packer=small_segments)).batch_id == cut.batch_id
        assert sorted(await jobs_of(database, cut.batch_id)) == list(range(40))

    run(scenario)


def small_segments(on_loss: OnLoss) -> SegmentPacker:
    return SegmentPacker(on_loss, max_jobs=3)


def test_rows_that_never_were_valid_are_left_out(run: Callable[[Scenario], None]) -> None:
    async def scenario(database: FragileDatabase) -> None:
        old = await a_mixed_batch(database, 4)
        wrong = [
            Finish(position=p, custom_id=None, state=ResultState.FAILED, error_code=code, error_message="wrong")
            for p, code in ((0, ProblemCode.DUPLICATE_CUSTOM_ID), (1, ProblemCode.INVALID_JSON))
        ]
        await database.write(finish, old, wrong)
        with pytest.raises(NothingToRetry, match="the 2 failed rows of batch 1 did not validate"):
            await retry(database, old, FAILED)
        await call(database, old, bad=[3])
        retried = await retry(database, old, FAILED)
        assert [job.custom_id for _, job in (await jobs_of(database, retried.batch_id)).values()] == ["näme 3"]

    run(scenario)


def test_what_was_cancelled_runs_again_only_when_asked_for(run: Callable[[Scenario], None]) -> None:
    async def scenario(database: FragileDatabase) -> None:
        old = await a_mixed_batch(database, 4)
        ends = [
            Finish(position=p, custom_id=f"näme {p}", state=ResultState.CANCELLED, error_code="x", error_message="x")
            for p in (1, 2)
        ]
        await database.write(finish, old, ends)
        await call(database, old, good=[0], bad=[3])
        assert (await retry(database, old, FAILED)).rows == 1
        assert (await retry(database, old, (ResultState.CANCELLED,))).rows == 2

    run(scenario)


def test_a_batch_without_such_rows_is_not_continued(run: Callable[[Scenario], None]) -> None:
    async def scenario(database: FragileDatabase) -> None:
        old = await a_mixed_batch(database, 4)
        await call(database, old, good=range(4))
        with pytest.raises(NothingToRetry, match=r"batch 1 has no failed rows \(it is completed\)"):
            await retry(database, old, FAILED)
        with pytest.raises(NoSuchBatch):
            await retry(database, 77, FAILED)
        assert len(await database.read(batches.newest, 10)) == 1

    run(scenario)
