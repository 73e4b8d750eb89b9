"""An account with a licence runs the rows of batches for just that use, and never another one, retries included."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from aiohttp.web import Response

from broker.domain.account import Account
from broker.domain.route import route_for
from broker.testing.builders import MODEL
from broker.testing.judge import read_books
from broker.wiring.supply import all_routes
from tests.engines import Provider, a_chat_batch, a_provider, an_account, an_engine, answer, at_work, ended, opened

USE = "non-commercial"
JOBS = 40


def route(accounts: list[Account], use: str | None) -> str:
    found = route_for(MODEL, use, all_routes(accounts))
    assert isinstance(found, str)
    return found


class Troubled:
    """Fails every fourth row twice before it answers; the account as a whole works."""

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()

    def __call__(self, asked: dict[str, Any]) -> Response:
        said = asked["messages"][0]["content"]
        self._asked[said] += 1
        if int(said.partition(" ")[2]) % 4 or self._asked[said] > 2:
            return answer()
        return answer(b'{"error":{"message":"busy"}}', status=503 if self._asked[said] == 1 else 500)

    @property
    def failed(self) -> int:
        """How many rows have been failed here, and were tried again."""
        return sum(int(said.partition(" ")[2]) % 4 == 0 for said in self._asked)


def said_by(provider: Provider) -> set[str]:
    return {said.partition(" ")[0] for said in provider.says()}


@pytest.mark.parametrize("troubled", ["free", "home"])
def test_no_row_reaches_an_account_that_its_batch_may_not_use(sqlite_url: str, troubled: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as free, a_provider() as home, a_provider() as lab:
            trouble = Troubled()
            (free if troubled == "free" else home).respond = trouble
            accounts = [
                an_account(free.base_url, name="free"),
                an_account(home.base_url, name="home", licence=USE),
                an_account(lab.base_url, name="lab", licence="research"),
            ]
            batches = {
                use or "any": await database.write(
                    a_chat_batch, [f"{use or 'any'} {row}" for row in range(JOBS)], route(accounts, use)
                )
                for use in (None, USE)
            }
            engine = an_engine(database, *accounts)
            async with at_work(engine):
                for batch_id in batches.values():
                    await ended(engine, batch_id)
            for batch_id in batches.values():
                books = await read_books(database, batch_id)
                assert {row["state"] for row in books.results} == {"succeeded"}
            assert trouble.failed, "some rows must have been tried again"
            assert said_by(home) == {USE}
            assert said_by(lab) == set()
            assert said_by(free) == {USE, "any"}, "who may run everything has its share of what is for a use"

    asyncio.run(run())
