"""Jobs that one account refuses for good: another one takes them, and they do not come back to the first."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from broker.testing.judge import read_books
from tests.engines import Provider, a_chat_batch, a_provider, an_account, an_engine, answer, at_work, ended, opened

JOBS = 40
NO_MODEL = b'{"error":{"message":"The model does not exist","code":"model_not_found"}}'
TOO_LARGE = b'{"error":{"message":"Request too large: Limit 1000, Requested 2000.","code":"rate_limit_exceeded"}}'
REFUSALS = [(404, NO_MODEL), (429, TOO_LARGE)]


def asked_of_each(provider: Provider) -> Sequence[int]:
    return sorted(Counter(provider.says()).values())


@pytest.mark.parametrize("first", ["unfit", "fit"])
@pytest.mark.parametrize(("status", "body"), REFUSALS)
def test_what_one_account_refuses_for_good_another_answers(
    sqlite_url: str, status: int, body: bytes, first: str
) -> None:
    """Whichever of them stands first in the configuration."""

    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as unfit, a_provider() as fit:
            unfit.respond = lambda _: answer(body, status=status)
            batch_id = await database.write(a_chat_batch, [f"number {row}" for row in range(JOBS)])
            accounts = [an_account(unfit.base_url, name="unfit"), an_account(fit.base_url, name="fit")]
            engine = an_engine(database, *sorted(accounts, key=lambda account: account.name != first))
            async with at_work(engine):
                await ended(engine, batch_id)
            books = await read_books(database, batch_id)
            assert {row["state"] for row in books.results} == {"succeeded"}
            assert {row["account"] for row in books.results} == {"fit"}
            assert unfit.asked, "the unfit account must have been tried, or this shows nothing"
            assert max(asked_of_each(unfit)) == 1
            assert asked_of_each(fit) == [1] * JOBS

    asyncio.run(run())


@pytest.mark.parametrize(("status", "body"), REFUSALS)
def test_the_one_account_of_four_that_has_the_model_answers_all(sqlite_url: str, status: int, body: bytes) -> None:
    """However many of the others have been asked before, none of them twice."""

    async def run() -> None:
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(opened(sqlite_url))
            providers = [await stack.enter_async_context(a_provider()) for _ in range(4)]
            for unfit in providers[:3]:
                unfit.respond = refusing(status, body)
            batch_id = await database.write(a_chat_batch, [f"number {row}" for row in range(JOBS)])
            accounts = [an_account(one.base_url, name=f"account-{n}") for n, one in enumerate(providers)]
            engine = an_engine(database, *accounts)
            async with at_work(engine):
                await ended(engine, batch_id)
            books = await read_books(database, batch_id)
            assert {(row["state"], row["account"]) for row in books.results} == {("succeeded", "account-3")}
            assert max(row["attempts"] for row in books.results) > 2, "some must have been refused twice"
            assert all(set(asked_of_each(unfit)) == {1} for unfit in providers[:3])

    asyncio.run(run())


@pytest.mark.parametrize(("status", "body"), REFUSALS)
def test_what_every_account_refuses_for_good_fails_after_one_look_at_another(
    sqlite_url: str, status: int, body: bytes
) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as first, a_provider() as second:
            for provider in (first, second):
                provider.respond = refusing(status, body)
            batch_id = await database.write(a_chat_batch, [f"number {row}" for row in range(JOBS)])
            accounts = [an_account(first.base_url, name="first"), an_account(second.base_url, name="second")]
            engine = an_engine(database, *accounts)
            async with at_work(engine):
                await ended(engine, batch_id)
            books = await read_books(database, batch_id)
            assert {(row["state"], row["status"]) for row in books.results} == {("failed", status)}
            assert asked_of_each(first) == asked_of_each(second) == [1] * JOBS

    asyncio.run(run())


def refusing(status: int, body: bytes) -> Any:
    return lambda _: answer(body, status=status)
