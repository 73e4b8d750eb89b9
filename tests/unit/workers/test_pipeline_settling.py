"""What happens to an answer when the limiter has a trouble of its own."""

import asyncio
from collections.abc import Sequence

from broker.domain.clock import SystemClock
from broker.limits.memory import MemoryLimiter
from broker.limits.port import Settled, Settlement
from broker.testing.judge import read_books
from tests.engines import a_chat_batch, a_provider, an_account, an_engine, at_work, ended, opened

JOBS = 12


class Absent(MemoryLimiter):
    """Grants, but is away whenever a call is to be settled that was made."""

    async def settle(self, group: str, settlements: Sequence[Settlement]) -> None:
        if any(settlement.how is Settled.USED for settlement in settlements):
            raise ConnectionError("the limiter is away")
        await super().settle(group, settlements)


def test_an_answer_that_cannot_be_settled_is_recorded_all_the_same(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, ["hello"] * JOBS)
            account = an_account(provider.base_url)
            engine = an_engine(database, account)
            limiter = Absent(SystemClock())
            limiter.declare(account.group, account.limits)
            engine.workers[0].bench.limiter = limiter
            async with at_work(engine):
                await ended(engine, batch_id)
            books = await read_books(database, batch_id)
            assert [row["state"] for row in books.results] == ["succeeded"] * JOBS
            assert [row["state"] for row in books.attempts] == ["ok"] * JOBS
            assert len(provider.asked) == JOBS
            assert books.batch["input_tokens"] == 7 * JOBS

    asyncio.run(run())
