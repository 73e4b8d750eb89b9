"""Rows that an account cannot say cost it nothing: no call, no request of its limit, no slot, and not its health."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import Connection, select

from broker.domain.account import Limits
from broker.domain.attempt import ErrorClass, Scope
from broker.domain.dialect import Dialect
from broker.store.tables import attempts
from broker.testing.judge import read_books
from tests.engines import a_chat_batch, a_provider, an_account, an_engine, at_work, ended, opened
from tests.unit.workers.test_bench import benched

ROWS = 40


def tried(connection: Connection) -> set[tuple[str, str | None, float | None]]:
    columns = (attempts.c.state, attempts.c.error_class, attempts.c.sent_at)
    return {tuple(row) for row in connection.execute(select(*columns))}


def test_rows_that_cannot_be_said_give_back_what_was_reserved(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, ["hello"] * ROWS)
            account = an_account(
                provider.base_url,
                protocols=(Dialect.OPENAI_EMBEDDINGS,),
                limits=Limits(requests_per_minute=2, concurrency=1),
            )
            engine = an_engine(database, account)
            bench = engine.workers[0].bench
            async with at_work(engine):
                await ended(engine, batch_id)
            books = await read_books(database, batch_id)
            assert [row["error_code"] for row in books.results] == ["untranslatable"] * ROWS
            assert await database.read(tried) == {("refused", "untranslatable", None)}
            assert (provider.asked, bench.in_flight) == ([], 0)
            assert bench.health.reason is None
            state = await bench.limiter.state(account.group)
            assert state.in_flight == 0
            assert [level.used for level in state.levels] == [0.0]

    asyncio.run(run())


class Broken:
    """An interpreter with a defect."""

    def said(self, *_: object, **__: object) -> Any:
        raise ArithmeticError("in our own code")

    said_for_the_rest = said


@pytest.mark.parametrize("parts", [(), (b"{}",)])
def test_a_defect_in_saying_a_row_leaves_it_to_another_account(sqlite_url: str, parts: tuple[bytes, ...]) -> None:
    """Another protocol may not have it; and the worker goes on with its other rows."""

    async def run() -> None:
        async with benched(sqlite_url) as rig:
            broken: Any = Broken()
            rig.bench.interpreter = broken
            work = rig.work()
            work.parts = parts
            if parts:
                rig.bench.go_on(work)
            assert (work.said, work.sent_at) == (None, None)
            assert work.refused is not None
            assert (work.refused.error_class, work.refused.scope) == (ErrorClass.UNTRANSLATABLE, Scope.OTHER)
            assert "in our own code" not in work.refused.message

    asyncio.run(run())
