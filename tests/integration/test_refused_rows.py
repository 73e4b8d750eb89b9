"""Rows that a provider always refuses, among others that it answers."""

import asyncio
from itertools import product
from typing import Any

import pytest

from broker.domain.outcome import RetryPolicy
from broker.testing.judge import Books, read_books
from tests.engines import a_chat_batch, a_provider, an_account, an_engine, answer, at_work, ended, opened
from workers.account_health import Health

GOOD = 60
FORBIDDEN = b'{"error":{"message":"Request blocked by the firewall","code":"blocked"}}'
REVOKED = b'{"error":{"message":"No such key","code":"invalid_api_key"}}'


def says(bad: int, *, place: str) -> list[str]:
    good_rows, bad_rows = ["good"] * GOOD, ["bad"] * bad
    match place:
        case "first":
            return bad_rows + good_rows
        case "last":
            return good_rows + bad_rows
        case _:
            every = GOOD // bad
            return [word for row in range(bad) for word in ("bad", *["good"] * every)] + ["good"] * (GOOD - bad * every)


def by_state(books: Books, said: list[str]) -> set[tuple[str, str]]:
    return {(said[row["position"]], row["state"]) for row in books.results}


@pytest.mark.parametrize(
    ("status", "bad", "place"),
    [
        *product([403], [1, 15], ["first", "last", "among"]),
        *product([401], [1], ["first", "among"]),  # several, or one behind the last good answer, do mean the key
    ],
)
def test_rows_that_are_always_refused_fail_and_the_others_do_not_wait_for_them(
    sqlite_url: str, status: int, bad: int, place: str
) -> None:
    said = says(bad, place=place)

    def respond(request: dict[str, Any]) -> Any:
        refused = request["messages"][0]["content"] == "bad"
        return answer(FORBIDDEN, status=status) if refused else answer()

    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            provider.respond = respond
            batch_id = await database.write(a_chat_batch, said)
            engine = an_engine(database, an_account(provider.base_url), policy=RetryPolicy(backoff_base_s=0.2))
            async with at_work(engine):
                await ended(engine, batch_id)
            books = await read_books(database, batch_id)
            assert by_state(books, said) == {("good", "succeeded"), ("bad", "failed")}
            failed = [row for row in books.results if row["state"] == "failed"]
            assert len(failed) == bad
            assert {(row["status"], row["error_code"]) for row in failed} == {(status, "blocked")}
            assert engine.workers[0].bench.health.health is Health.ACTIVE
            assert len(provider.asked) <= GOOD + 5 * bad

    asyncio.run(run())


@pytest.mark.parametrize(("status", "body", "calls"), [(401, REVOKED, 2), (403, FORBIDDEN, 20)])
def test_a_key_that_is_revoked_on_the_way_is_found_out_soon_and_fails_no_row(
    sqlite_url: str, status: int, body: bytes, calls: int
) -> None:
    slots = 8

    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            provider.respond = lambda _: answer() if len(provider.asked) <= GOOD else answer(body, status=status)
            batch_id = await database.write(a_chat_batch, ["good"] * 200)
            engine = an_engine(database, an_account(provider.base_url, worker_concurrency=slots))
            async with at_work(engine):
                while not engine.blocked():  # noqa: ASYNC110 - nobody tells of it
                    await asyncio.sleep(0.01)
            books = await read_books(database, batch_id)
            assert {row["state"] for row in books.results} == {"succeeded"}
            # Different jobs must be refused, with no good answer between: those that are still under way each start the
            # count again, and let one more call go. A few jobs come round again before there are enough.
            assert len(provider.asked) - GOOD <= 2 * calls + 2 * slots

    asyncio.run(run())
