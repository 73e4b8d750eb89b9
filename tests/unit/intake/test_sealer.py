"""The sealer looks each second, and goes on after the database was away."""

import asyncio

from sqlalchemy import update

from broker.intake import sealer
from broker.store import batches, submissions
from broker.store.engine import open_database
from broker.store.submissions import OpenBatch, Submission
from broker.store.tables import batches as batches_table
from broker.testing.builders import a_segment
from broker.testing.manual_clock import ManualClock
from broker.testing.outages import FragileDatabase, eventually


def test_a_batch_is_sealed_by_the_look_after_its_time_also_after_an_outage(sqlite_url: str) -> None:
    async def run() -> None:
        database, clock = FragileDatabase(open_database(sqlite_url)), ManualClock()
        batch_id = int(
            await database.write(
                submissions.append,
                Submission(project="lab", submission_id="m", body_hash="1"),
                OpenBatch(project="lab", name="eval", dialect="openai", source="eval"),
                lambda first: [a_segment([first])],
                lambda done: str(done.batch_id),
                seal_after_s=60.0,
            )
        )
        database.failing = {submissions.seal_due}
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(sealer.run(database, clock))
            await eventually(lambda: database.calls[submissions.seal_due] == 1 and clock.sleepers)
            database.failing = set()
            clock.advance(sealer.LOOK_S)
            await eventually(lambda: database.calls[submissions.seal_due] == 2 and clock.sleepers)
            assert not (await database.read(batches.get, batch_id)).sealed
            await database.write(lambda connection: connection.execute(update(batches_table).values(seal_at=1.0)))
            clock.advance(sealer.LOOK_S)
            await eventually(lambda: database.calls[submissions.seal_due] == 3 and clock.sleepers)
            assert (await database.read(batches.get, batch_id)).sealed
            running.cancel()
        await database.close()

    asyncio.run(run())
