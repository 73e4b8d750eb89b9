"""A provider that has nothing but errors for a while costs no row its tries."""

import asyncio

from broker.domain.outcome import RetryPolicy
from broker.testing.judge import read_books
from tests.engines import a_chat_batch, a_provider, an_account, an_engine, answer, at_work, ended, opened
from workers.account_health import Health

OVERLOADED = b'{"error":{"message":"The server is overloaded","code":"server_is_overloaded"}}'
ROWS, SLOTS = 60, 16


def test_every_row_succeeds_after_an_outage_and_few_calls_were_wasted_on_it(sqlite_url: str) -> None:
    """The outage lasts until four probes, a second and more apart, have failed: longer than any row's own patience."""

    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            provider.respond = lambda _: answer() if len(provider.asked) > SLOTS + 4 else answer(OVERLOADED, status=503)
            batch_id = await database.write(a_chat_batch, ["good"] * ROWS)
            policy = RetryPolicy(transient_tries=2, backoff_base_s=0.01)
            engine = an_engine(database, an_account(provider.base_url, worker_concurrency=SLOTS), policy=policy)
            async with at_work(engine):
                await ended(engine, batch_id)
            books = await read_books(database, batch_id)
            assert {row["state"] for row in books.results} == {"succeeded"}
            assert engine.workers[0].bench.health.health is Health.ACTIVE
            assert len(provider.asked) <= ROWS + SLOTS + 8

    asyncio.run(run())
