"""Usage, standing and holders as the commands read them, on both databases."""

import asyncio
import fcntl
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import combinations
from pathlib import Path

import pytest

from broker.domain.attempt import AttemptState
from broker.domain.report import Again
from broker.domain.totals import Dimension, Totals, UsageLine
from broker.store import lock, manifest, migrate
from broker.store.claim import Claimant, claim
from broker.store.engine import open_database
from broker.store.holder import holder
from broker.store.migrate import SchemaTooOld
from broker.store.standing import last_calls, standing, unfinished_on, unknown_calls
from broker.store.usage import attempts_of, usage_by
from broker.testing.builders import FINISHED_AT, PROVIDER, a_claim, a_report
from broker.testing.contracts.store import Ledger, opened

DAY_S = 86_400
COST = Decimal("0.0000000125")
AGAIN = Again(in_s=60.0, why="overloaded")
_TEAM_B = Claimant(worker_id="worker-1", account="team-b", provider=PROVIDER)


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """Two batches: calls that ended well, failed, without a price, without an answer, late, and open ones."""
    with opened(database_url) as ledger:
        first, second = ledger.batch(5), ledger.batch(2)
        ledger.claim_all(first, 4)
        ledger.write(claim, _TEAM_B, [replace(a_claim((first, 4)), model="large"), a_claim((second, 0))])
        ledger.record(
            a_report((first, 0)),
            a_report((first, 2), state=AttemptState.UNKNOWN, then=AGAIN),
            a_report((first, 3), state=AttemptState.FAILED, then=AGAIN),
            a_report((first, 4), model="large", account="team-b", finished_at=FINISHED_AT + DAY_S),
            a_report((second, 0), account="team-b"),
        )
        yield ledger


def keyed(lines: list[UsageLine]) -> dict[tuple[str | int, ...], tuple[int, int]]:
    return {line.keys: (line.totals.attempts, line.unknown) for line in lines}


def test_usage_is_added_up_by_each_dimension(ledger: Ledger) -> None:
    expected = {
        Dimension.PROJECT: {("default",): (4, 1)},
        Dimension.TAG: {("nightly",): (4, 1)},
        Dimension.BATCH: {(1,): (3, 1), (2,): (1, 0)},
        Dimension.ACCOUNT: {("team-a",): (2, 1), ("team-b",): (2, 0)},
        Dimension.PROVIDER: {("openai",): (4, 1)},
        Dimension.MODEL: {("gpt-5-mini",): (3, 1), ("large",): (1, 0)},
        Dimension.DAY: {("2027-01-15",): (3, 1), ("2027-01-16",): (1, 0)},
    }
    for dimension, lines in expected.items():
        assert keyed(ledger.read(usage_by, [dimension])) == lines


def test_every_combination_has_the_same_sums(ledger: Ledger) -> None:
    whole = Totals(
        attempts=4,
        input_tokens=30,
        cache_read_tokens=6,
        cache_write_tokens=3,
        output_tokens=15,
        reasoning_tokens=9,
        cost=3 * COST,
    )
    account = Dimension.ACCOUNT
    for size in range(1, len(Dimension) + 1):
        for by in combinations(Dimension, size):
            lines = ledger.read(usage_by, by)
            assert sum((line.totals for line in lines), Totals()) == whole, by
            assert sum(line.unknown for line in lines) == 1, by
            if account in by:
                index = by.index(account)
                assert {line.keys[index] for line in lines} == {"team-a", "team-b"}


def test_the_same_sums_come_from_the_roll_up_and_from_the_attempts(ledger: Ledger) -> None:
    by = [Dimension.ACCOUNT, Dimension.PROVIDER, Dimension.MODEL, Dimension.DAY, Dimension.TAG, Dimension.PROJECT]
    from_attempts: dict[tuple[str | int, ...], Totals] = {}
    for line in ledger.read(usage_by, [*by, Dimension.BATCH]):
        from_attempts[line.keys[:-1]] = from_attempts.get(line.keys[:-1], Totals()) + line.totals
    rolled_up = {line.keys: line.totals for line in ledger.read(usage_by, by)}
    assert {keys: totals for keys, totals in from_attempts.items() if totals.attempts} == {
        keys: totals for keys, totals in rolled_up.items() if totals.attempts
    }


def test_a_batch_knows_all_its_attempts_by_account_and_end(ledger: Ledger) -> None:
    groups = {(group.account, group.state): group for group in ledger.read(attempts_of, 1)}
    assert {key: group.count for key, group in groups.items()} == {
        ("team-a", AttemptState.OK): 1,
        ("team-a", AttemptState.UNKNOWN): 1,
        ("team-a", AttemptState.FAILED): 1,
        ("team-a", AttemptState.OPEN): 1,
        ("team-b", AttemptState.OK): 1,
    }
    good = groups["team-b", AttemptState.OK].totals
    assert (good.attempts, good.input_tokens, good.cost) == (1, 10, COST)
    assert groups["team-a", AttemptState.UNKNOWN].totals == Totals()


def test_nothing_is_summed_of_nothing(database_url: str) -> None:
    with opened(database_url) as empty:
        for dimension in Dimension:
            assert empty.read(usage_by, [dimension]) == []
        assert empty.read(attempts_of, 1) == []


def test_a_batch_stands_with_its_calls_retries_and_pace(ledger: Ledger) -> None:
    stands = ledger.read(standing, 1, 2)
    assert stands.in_flight == 1
    assert stands.retrying == {"overloaded": 2}
    assert stands.next_try_in_s == pytest.approx(60, abs=30)
    assert stands.last_result_at is not None
    assert stands.last_result_at == ledger.results(1)[-1].finished_at
    assert stands.rows_per_s is not None
    assert stands.rows_per_s == pytest.approx(1 / (stands.at - ledger.results(1)[0].finished_at))


def test_a_batch_without_results_has_no_pace(ledger: Ledger) -> None:
    batch_id = ledger.batch(2)
    stands = ledger.read(standing, batch_id, 0)
    assert (stands.rows_per_s, stands.last_result_at, stands.next_try_in_s, stands.in_flight) == (None, None, None, 0)


def test_calls_without_an_answer_are_counted(ledger: Ledger) -> None:
    assert (ledger.read(unknown_calls, 1), ledger.read(unknown_calls, 2)) == (1, 0)


def test_the_last_call_of_each_account_is_the_latest_that_ended(ledger: Ledger) -> None:
    assert {name: call.error_class for name, call in ledger.read(last_calls).items()} == {
        "team-a": "server_error",
        "team-b": None,
    }


def test_a_route_is_unfinished_until_its_last_job_has_a_result(ledger: Ledger) -> None:
    batch_id = ledger.batch(2)
    route = ledger.read(manifest.routes, batch_id)
    assert ledger.read(unfinished_on, batch_id, route)
    assert not ledger.read(unfinished_on, batch_id, ["another"])
    assert not ledger.read(unfinished_on, batch_id, [])
    ledger.write(manifest.advance, [(batch_id, 0, 2)])
    ledger.claim_all(batch_id, 2)
    ledger.record(a_report((batch_id, 1)))
    assert ledger.read(unfinished_on, batch_id, route)
    ledger.record(a_report((batch_id, 0)))
    assert not ledger.read(unfinished_on, batch_id, route)


def test_the_holder_is_known_while_it_holds(database_url: str) -> None:
    async def scenario() -> None:
        database, other = open_database(database_url), open_database(database_url)
        assert await holder(other) is None
        async with lock.held(database):
            assert (await holder(other) or "").startswith("process ")
        assert await holder(other) is None
        await database.close()
        await other.close()

    asyncio.run(scenario())


def test_looking_for_the_holder_does_not_hold(database_url: str) -> None:
    async def scenario() -> None:
        database = open_database(database_url)
        await holder(database)
        async with lock.held(database):
            pass
        await holder(database)
        async with lock.held(database):
            pass
        await database.close()

    asyncio.run(scenario())


def test_two_who_look_at_once_do_not_take_each_other_for_the_holder(sqlite_url: str) -> None:
    async def looked() -> str | None:
        database = open_database(sqlite_url)
        found = await holder(database)
        await database.close()
        return found

    path = Path(sqlite_url.removeprefix("sqlite:///") + ".lock")
    path.touch()
    with path.open() as another_look:
        fcntl.flock(another_look, fcntl.LOCK_SH)
        assert asyncio.run(looked()) is None


def test_a_schema_is_checked_without_touching_it(tmp_path: Path, empty_postgres_url: str) -> None:
    async def scenario(url: str) -> None:
        database = open_database(url)
        with pytest.raises(SchemaTooOld, match="empty"):
            await database.read(migrate.check)
        assert (await database.read(migrate.compared))[0] is None
        await database.write(migrate.upgrade)
        await database.read(migrate.check)
        await database.close()

    for url in (f"sqlite:///{tmp_path / 'new.db'}", empty_postgres_url):
        asyncio.run(scenario(url))
