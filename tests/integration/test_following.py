"""Results that are followed through an outage of the database."""

import asyncio
import io

from broker.cli.following import Following
from broker.domain.batch import BatchState
from broker.domain.job import JobKey
from broker.store import batches, workers
from broker.store import results as ledger
from broker.store.claim import Claimant, claim
from broker.store.engine import open_database
from broker.store.record import record
from broker.testing.builders import ACCOUNT, PROVIDER, a_batch, a_claim, a_report
from broker.testing.outages import FragileDatabase, eventually


async def finish(database: FragileDatabase, *positions: int) -> None:
    keys = [JobKey(1, position) for position in positions]
    claims = [a_claim(key, f"att-1-{key.position}-1") for key in keys]
    await database.write(claim, Claimant(worker_id="w", account=ACCOUNT, provider=PROVIDER), claims)
    await database.write(record, [a_report(key) for key in keys])


def test_an_outage_is_waited_out_and_told_once(database_url: str) -> None:
    async def scenario() -> None:
        database = FragileDatabase(open_database(database_url))
        await database.write(workers.register, "w", ACCOUNT)
        await database.write(a_batch, 4)
        await finish(database, 0, 1)
        said: list[str] = []
        file = io.BytesIO()
        following = Following(1, 0, None, say=said.append)
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            task = tasks.create_task(following.follow(database, file))
            await eventually(lambda: following.seen == 2)
            database.down = True
            asked = database.calls[batches.get]
            await eventually(lambda: database.calls[batches.get] > asked + 1)
            database.down = False
            await finish(database, 2, 3)
            assert await task
        assert said == [
            "the database does not answer (taken away by the test); waiting for it, 2 results are written",
            "the database answers again",
        ]
        assert file.getvalue().count(b"\n") == 4
        await database.close()

    asyncio.run(scenario())


def test_an_answer_that_comes_with_the_end_of_the_batch_is_not_missed(database_url: str) -> None:
    """The batch ends between the look at its state and the reading of its rows, or behind both."""

    async def scenario() -> None:
        database = FragileDatabase(open_database(database_url))
        await database.write(workers.register, "w", ACCOUNT)
        await database.write(a_batch, 1)
        file = io.BytesIO()
        following = Following(1, 0, None)
        reads = 0

        def told(operation: object) -> None:
            nonlocal reads
            reads += operation is ledger.lines_after

        database.before = told
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            task = tasks.create_task(following.follow(database, file))
            await eventually(lambda: reads == 1)
            await finish(database, 0)
            assert (await database.read(batches.get, 1)).state is BatchState.COMPLETED
            assert await task
        assert file.getvalue().count(b"\n") == 1
        await database.close()

    asyncio.run(scenario())
