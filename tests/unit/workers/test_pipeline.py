"""The seven steps of a job in a worker, from the manifest to its result, over real HTTP."""

import asyncio
from collections import defaultdict

import pytest
from sqlalchemy import Connection, select

from broker.domain.account import Limits
from broker.domain.attempt import AttemptState, ErrorClass
from broker.domain.batch import BatchState
from broker.domain.job import JobKey
from broker.feeder.cost import PoolRates
from broker.feeder.feeder import RouteSupply
from broker.store import batches, due, results, workers
from broker.store.claim import Claimant, claim
from broker.store.record import record
from broker.store.tables import attempts
from broker.store.tables import due as due_table
from broker.testing.builders import ACCOUNT, MODEL, PROVIDER, a_claim
from broker.testing.outages import FragileDatabase, eventually
from tests.engines import a_chat_batch, a_provider, an_account, an_engine, answer, at_work, ended, opened
from workers.pipeline import Pipeline
from workers.work import Step, Work

FASTER = RouteSupply(slots=60, workers=1, rates=PoolRates(), slowest_per_s=1_000.0)
"""What a feeder knows of a route that has other, faster workers."""


def tried(connection: Connection) -> list[tuple[int, int, str, str | None]]:
    columns = (attempts.c.position, attempts.c.number, attempts.c.state, attempts.c.error_class)
    return [tuple(row) for row in connection.execute(select(*columns).order_by(*columns[:2]))]


def call_ids(connection: Connection) -> list[str]:
    return sorted(connection.execute(select(attempts.c.attempt_id)).scalars())


def due_positions(connection: Connection) -> list[int]:
    return sorted(connection.execute(select(due_table.c.position)).scalars())


def says(jobs: int) -> list[str]:
    return [f"number {position}" for position in range(jobs)]


async def lost(database: FragileDatabase, key: JobKey, times: int) -> None:
    """A job that has gone down with its process so often."""
    for death in range(times):
        name = f"dead-{death}"
        await database.write(workers.register, name, ACCOUNT)
        claimant = Claimant(worker_id=name, account=ACCOUNT, provider=PROVIDER)
        await database.write(claim, claimant, [a_claim(key, alone=True)])
        await database.write(workers.reap, [name])
        await database.write(workers.forget, [name])


def test_every_job_is_called_once_under_the_id_of_its_attempt(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, says(40))
            engine = an_engine(database, an_account(provider.base_url))
            async with at_work(engine):
                await ended(engine, batch_id)
            assert sorted(provider.says()) == sorted(says(40))
            assert sorted(provider.call_ids) == await database.read(call_ids)
            batch = await database.read(batches.get, batch_id)
            assert (batch.state, batch.counts.succeeded) == (BatchState.COMPLETED, 40)
            assert (batch.usage.input_tokens, batch.usage.output_tokens) == (280, 120)

    asyncio.run(run())


def test_a_job_takes_the_steps_in_their_order(sqlite_url: str) -> None:
    async def run() -> None:
        steps: dict[JobKey, list[Step]] = defaultdict(list)

        def watch(step: Step, work: Work) -> None:
            steps[work.job.key].append(step)

        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, says(5))
            engine = an_engine(database, an_account(provider.base_url), watch=watch)
            async with at_work(engine):
                await ended(engine, batch_id)
        assert list(steps.values()) == [list(Step)] * 5

    asyncio.run(run())


def test_no_more_calls_are_in_flight_than_the_worker_may_have(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, says(60))
            engine = an_engine(database, an_account(provider.base_url, worker_concurrency=5))
            provider.answering.clear()
            async with at_work(engine):
                await eventually(lambda: provider.in_flight == 5)
                provider.answering.set()
                await ended(engine, batch_id)
            assert max(provider.most_in_flight.values()) == 5

    asyncio.run(run())


def test_what_arrives_while_calls_are_about_to_start_takes_none_of_their_slots(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, says(60))
            looking: list[Pipeline] = []

            def watch(step: Step, _work: Work) -> None:
                if step is Step.ACKED:
                    looking[0]._changed.set()  # as an arrival does: the next look is not waited for

            engine = an_engine(database, an_account(provider.base_url, worker_concurrency=5), watch=watch)
            engine.feeder._supplies = dict.fromkeys(engine.feeder._supplies, FASTER)
            looking.append(engine.workers[0].pipeline)
            provider.answering.clear()
            async with at_work(engine):
                await eventually(lambda: provider.in_flight == len(engine.workers[0].bench.open) >= 5)
                assert provider.in_flight == 5
                provider.answering.set()
                await ended(engine, batch_id)

    asyncio.run(run())


def test_a_turn_of_more_jobs_than_there_are_slots_is_started_bit_by_bit(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, says(60))
            engine = an_engine(database, an_account(provider.base_url, worker_concurrency=5))
            engine.feeder._packed = 32
            engine.feeder._supplies = dict.fromkeys(engine.feeder._supplies, FASTER)
            provider.answering.clear()
            async with at_work(engine):
                await eventually(lambda: provider.in_flight == 5)
                assert len(engine.workers[0].pipeline._hand) > 5  # of one turn
                provider.answering.set()
                await ended(engine, batch_id)
            assert max(provider.most_in_flight.values()) == 5

    asyncio.run(run())


def test_a_stop_finishes_what_is_in_flight_and_starts_nothing_more(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, says(20))
            engine = an_engine(database, an_account(provider.base_url, worker_concurrency=3))
            provider.answering.clear()
            async with at_work(engine):
                await eventually(lambda: provider.in_flight == 3)
                engine.stop()
                provider.answering.set()
            assert len(provider.asked) == 3
            batch = await database.read(batches.get, batch_id)
            assert (batch.state, batch.counts.succeeded) == (BatchState.RUNNING, 3)
            assert {state for _, _, state, _ in await database.read(tried)} == {AttemptState.OK}

    asyncio.run(run())


def test_the_next_start_does_the_rest(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, says(20))
            provider.answering.clear()
            engine = an_engine(database, an_account(provider.base_url, worker_concurrency=3))
            async with at_work(engine):
                await eventually(lambda: provider.in_flight == 3)
                engine.stop()
                provider.answering.set()
            engine = an_engine(database, an_account(provider.base_url))
            async with at_work(engine):
                await ended(engine, batch_id)
            assert sorted(provider.says()) == sorted(says(20))

    asyncio.run(run())


def test_an_abort_leaves_calls_in_flight_unknown_and_their_jobs_due(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, says(2))
            engine = an_engine(database, an_account(provider.base_url))
            provider.answering.clear()
            async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
                running = tasks.create_task(engine.run())
                await eventually(lambda: provider.in_flight == 2)
                running.cancel()
            unknown = [(p, 1, AttemptState.UNKNOWN, ErrorClass.ABORTED) for p in range(2)]
            assert await database.read(tried) == unknown
            assert await database.read(due_positions) == [0, 1]
            provider.answering.set()
            engine = an_engine(database, an_account(provider.base_url))
            async with at_work(engine):
                await ended(engine, batch_id)
            assert len(provider.asked) == 4

    asyncio.run(run())


@pytest.mark.parametrize("operation", [claim, record], ids=["claim", "record"])
def test_a_lost_answer_of_the_database_costs_no_second_call(sqlite_url: str, operation: object) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, says(3))
            database.losing.add(operation)  # type: ignore[arg-type]  # one of the two
            engine = an_engine(database, an_account(provider.base_url))
            async with at_work(engine):
                await eventually(lambda: database.calls[operation])  # type: ignore[index]
                await eventually(lambda: engine.workers[0].pipeline.waits_for or len(engine.recorder))
                database.losing.clear()
                await ended(engine, batch_id)
            assert sorted(provider.says()) == says(3)
            assert (await database.read(batches.get, batch_id)).counts.succeeded == 3

    asyncio.run(run())


def test_an_outage_while_calls_are_in_flight_costs_no_second_call(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, says(30))
            engine = an_engine(database, an_account(provider.base_url))
            provider.answering.clear()
            async with at_work(engine):
                await eventually(lambda: provider.in_flight == 8)
                database.down = True
                provider.answering.set()
                await eventually(lambda: len(engine.recorder) == 8)
                database.down = False
                await ended(engine, batch_id)
            assert sorted(provider.says()) == sorted(says(30))

    asyncio.run(run())


def test_a_job_that_was_lost_twice_runs_with_nothing_beside_it(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, says(30))
            await lost(database, JobKey(batch_id, 4), times=2)
            engine = an_engine(database, an_account(provider.base_url))
            async with at_work(engine):
                await ended(engine, batch_id)
            assert sorted(provider.says()) == sorted(says(30))
            assert provider.most_in_flight["number 4"] == 1

    asyncio.run(run())


def test_a_stop_lets_a_job_that_runs_alone_finish(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, says(1))
            await lost(database, JobKey(batch_id, 0), times=2)
            engine = an_engine(database, an_account(provider.base_url))
            provider.answering.clear()
            async with at_work(engine):
                await eventually(lambda: provider.in_flight == 1)
                engine.stop()
                provider.answering.set()
            assert (await database.read(batches.get, batch_id)).counts.succeeded == 1

    asyncio.run(run())


def test_an_outage_at_the_claim_of_a_job_that_runs_alone_is_waited_for(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, says(1))
            await lost(database, JobKey(batch_id, 0), times=2)
            engine = an_engine(database, an_account(provider.base_url))
            database.calls.clear()

            def second_claim(operation: object) -> None:
                if operation is claim and database.calls[claim] == 1:
                    database.failing.add(claim)

            database.before = second_claim
            async with at_work(engine):
                await eventually(lambda: database.calls[claim] == 2)
                database.failing.clear()
                await ended(engine, batch_id)
            assert len(provider.asked) == 1

    asyncio.run(run())


def test_a_job_of_a_batch_that_was_cancelled_meanwhile_is_not_called(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, says(30))
            provider.answering.clear()
            engine = an_engine(database, an_account(provider.base_url, worker_concurrency=2))
            async with at_work(engine):
                await eventually(lambda: provider.in_flight == 2)
                await database.write(batches.move, batch_id, BatchState.CANCELLING)
                provider.answering.set()
                await ended(engine, batch_id)
            assert len(provider.asked) == 2
            counts = (await database.read(batches.get, batch_id)).counts
            assert (counts.succeeded, counts.cancelled) == (2, 28)

    asyncio.run(run())


def test_work_that_had_a_start_time_goes_back_when_the_account_must_pause(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, says(6))
            engine = an_engine(database, an_account(provider.base_url, worker_concurrency=2))
            error = b'{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}'
            provider.respond = lambda _: answer(error, status=429, **{"retry-after": "600"})
            async with at_work(engine):
                await eventually(lambda: database.calls[due.make_due])
            assert len(provider.asked) <= 2
            assert (await database.read(batches.get, batch_id)).counts.finished == 0
            await_again = await database.read(due_positions)
            assert len(await_again) >= 2

    asyncio.run(run())


def test_what_an_account_cannot_start_today_is_done_by_another_one(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, says(40))
            used_up = an_account(provider.base_url, name="used-up", limits=Limits(requests_per_day=3))
            engine = an_engine(database, used_up, an_account(provider.base_url, name="free", worker_concurrency=2))
            provider.answering.clear()
            async with at_work(engine):
                await eventually(lambda: provider.in_flight == 2 + 3 - 1)  # a hundredth of a limit is left alone
                provider.answering.set()
                await ended(engine, batch_id)
                assert engine.workers[0].pipeline.signs().waits_for == "requests_per_day"
            assert sorted(provider.says()) == sorted(says(40))

    asyncio.run(run())


def test_the_name_of_the_model_at_the_provider_is_sent(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, says(1), f"{MODEL}@{ACCOUNT}")
            engine = an_engine(database, an_account(provider.base_url, models={MODEL: "their/name"}))
            async with at_work(engine):
                await ended(engine, batch_id)
            assert provider.asked[0]["model"] == "their/name"
            (result,) = await database.read(results.after, batch_id, 0, 10)
            assert result.model == f"{MODEL}-2025"

    asyncio.run(run())
