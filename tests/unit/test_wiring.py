"""The parts of the embedded mode, put together."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, update

from broker.domain.account import Account, Limits
from broker.domain.attempt import CallError, ErrorClass, Scope
from broker.domain.batch import BatchState
from broker.domain.job import JobKey
from broker.errors import StoreError, StoreUnavailable
from broker.feeder.cost import PoolRates
from broker.feeder.feeder import RouteSupply
from broker.store import batches, due
from broker.store import workers as store
from broker.store.claim import Claimant, claim
from broker.store.engine import open_database
from broker.store.record import record
from broker.store.tables import segments
from broker.testing.builders import ACCOUNT, MODEL, PROVIDER, a_claim
from broker.testing.outages import eventually
from broker.wiring import embedded
from broker.wiring.embedded import Engine
from broker.wiring.spools import spool_directory
from broker.wiring.supply import all_routes, serving, supply
from tests.engines import a_chat_batch, a_provider, an_account, an_engine, at_work, ended, opened

MODEL_ELSEWHERE = "other-model"


def named(name: str, *models: str, **changes: Any) -> Account:
    return an_account(name=name, models={model: model for model in models}, **changes)


def supply_of(*accounts: Account) -> RouteSupply:
    return supply(accounts, MODEL)


def damage(connection: Connection) -> None:
    connection.execute(update(segments).values(payload=b"damaged"))


async def closed(engine: Engine) -> None:
    """Let go of an engine that never ran."""
    for worker in engine.workers:
        await worker.bench.calls.close()


def test_every_route_of_every_account_is_known() -> None:
    accounts = [named("one", MODEL), named("two", MODEL, MODEL_ELSEWHERE)]
    assert all_routes(accounts) == {
        MODEL, f"{MODEL}@vllm", f"{MODEL}@one", f"{MODEL}@two",
        MODEL_ELSEWHERE, f"{MODEL_ELSEWHERE}@vllm", f"{MODEL_ELSEWHERE}@two",
    }  # fmt: skip
    assert all_routes([]) == frozenset()


@pytest.mark.parametrize(
    ("routes", "names"),
    [
        ([MODEL], ["one", "two"]),
        ([f"{MODEL}@two"], ["two"]),
        ([MODEL_ELSEWHERE, f"{MODEL}@one"], ["one", "two"]),
        (["unknown"], []),
        ([], []),
    ],
)
def test_only_accounts_that_serve_a_route_of_the_batch_take_part(routes: list[str], names: list[str]) -> None:
    accounts = [named("one", MODEL), named("two", MODEL, MODEL_ELSEWHERE)]
    assert [account.name for account in serving(accounts, routes)] == names


def test_the_spool_of_a_sqlite_file_lies_beside_it(tmp_path: Path) -> None:
    assert spool_directory(open_database(f"sqlite:///{tmp_path}/a.db")) == tmp_path / "a.db.spool"


def test_each_server_database_has_a_spool_of_its_own_that_tells_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    urls = [
        "postgresql://u:secret@h/a",
        "postgresql://u:secret@h/b",
        "postgresql://u:secret@i/a",
        "postgresql://u:secret@/a?host=/run/one",
        "postgresql://u:secret@/a?host=/run/two",
    ]
    places = [spool_directory(open_database(url)) for url in urls]
    assert len(set(places)) == len(urls)
    assert {place.parent for place in places} == {tmp_path / "penstock"}
    assert not any("secret" in str(place) for place in places)
    assert places[0] == spool_directory(open_database("postgresql://v:other@h:5432/a"))


def test_the_spool_of_a_server_database_does_not_depend_on_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "not/absolute")
    places = set()
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        places.add(spool_directory(open_database("postgresql://h/a")))
    (place,) = places
    assert place.parent == tmp_path / ".local" / "state" / "penstock"


def test_a_route_has_the_slots_of_all_its_workers() -> None:
    supply = supply_of(
        named("one", MODEL, worker_concurrency=64, limits=Limits(concurrency=10)),
        named("two", MODEL, worker_concurrency=20),
        named("elsewhere", MODEL_ELSEWHERE, worker_concurrency=1_000),
    )
    assert (supply.slots, supply.workers) == (30, 2)


def test_a_route_has_the_rates_of_all_its_accounts_together() -> None:
    limits = Limits(requests_per_minute=60, tokens_per_minute=6_000, input_tokens_per_minute=600)
    both = Limits(requests_per_minute=120, tokens_per_minute=600, output_tokens_per_minute=60)
    supply = supply_of(named("one", MODEL, limits=limits), named("two", MODEL, limits=both))
    assert supply.rates == PoolRates(requests_per_s=3.0, tokens_per_s=110.0)


def test_one_account_without_a_limit_makes_the_rate_unknown() -> None:
    supply = supply_of(named("one", MODEL, limits=Limits(requests_per_minute=60)), named("two", MODEL))
    assert supply.rates == PoolRates()


def test_an_engine_that_was_stopped_before_it_ran_calls_nobody(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            await database.write(a_chat_batch, ["hello"])
            engine = an_engine(database, an_account(provider.base_url))
            engine.stop()
            async with asyncio.timeout(30):
                await engine.run()
            assert provider.asked == []

    asyncio.run(run())


def test_two_accounts_work_on_one_batch(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as one, a_provider() as two:
            batch_id = await database.write(a_chat_batch, [str(number) for number in range(30)])
            one.answering.clear()
            two.answering.clear()
            accounts = [an_account(at.base_url, name=name) for at, name in ((one, "one"), (two, "two"))]
            engine = an_engine(database, *accounts)
            async with at_work(engine):
                await eventually(lambda: one.in_flight and two.in_flight)
                one.answering.set()
                two.answering.set()
                await ended(engine, batch_id)
            assert sorted([*one.says(), *two.says()]) == sorted(str(number) for number in range(30))

    asyncio.run(run())


def test_it_closes_what_an_earlier_process_left_open_before_it_works(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, ["hello"])
            await database.write(store.register, "earlier", ACCOUNT)
            claimant = Claimant(worker_id="earlier", account=ACCOUNT, provider=PROVIDER)
            await database.write(claim, claimant, [a_claim((batch_id, 0))])
            engine = an_engine(database, an_account(provider.base_url))
            async with at_work(engine):
                await ended(engine, batch_id)
            assert provider.says() == ["hello"]

    asyncio.run(run())


def test_answers_that_came_while_the_database_was_away_outlive_an_abort(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "ABORT_FLUSH_S", 0.2)

    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, [str(number) for number in range(5)])
            provider.answering.clear()
            engine = an_engine(database, an_account(provider.base_url))
            async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
                running = tasks.create_task(engine.run())
                await eventually(lambda: provider.in_flight == 5)
                database.down = True
                provider.answering.set()
                await eventually(lambda: len(engine.recorder) == 5)
                running.cancel()
            database.down = False
            engine = an_engine(database, an_account(provider.base_url))
            async with at_work(engine):
                await ended(engine, batch_id)
            assert len(provider.asked) == 5
            assert (await database.read(batches.get, batch_id)).counts.succeeded == 5

    asyncio.run(run())


def test_a_feeder_that_loses_the_database_takes_nobody_down(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            batch_id = await database.write(a_chat_batch, ["hello"])
            database.failing.add(due.take_due)
            engine = an_engine(database, an_account(provider.base_url))
            async with at_work(engine):
                await eventually(lambda: database.calls[due.take_due] >= 2)
                database.failing.clear()
                await ended(engine, batch_id)
            assert (await database.read(batches.get, batch_id)).state is BatchState.COMPLETED

    asyncio.run(run())


def test_a_manifest_that_is_damaged_ends_the_run_with_an_error(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider, asyncio.timeout(30):
            await database.write(a_chat_batch, ["hello"])
            await database.write(damage)
            with pytest.raises(ExceptionGroup) as failed:
                await an_engine(database, an_account(provider.base_url)).run()
            assert failed.group_contains(StoreError, match="cannot be unpacked")

    asyncio.run(run())


def test_without_a_database_it_does_not_start(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            database.down = True
            engine = an_engine(database, an_account())
            with pytest.raises(StoreUnavailable):
                await engine.run()
            await closed(engine)

    asyncio.run(run())


def test_blocked_accounts_are_named_with_their_reason(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            engine = an_engine(database, named("one", MODEL), named("two", MODEL))
            assert engine.blocked() == {}
            error = CallError(error_class=ErrorClass.SPEND, scope=Scope.SAME, message="no money left")
            engine.workers[1].bench.health.went_wrong(error, engine.clock.monotonic(), JobKey(1, 0))
            assert engine.blocked() == {"two": "exhausted: no money left"}
            await closed(engine)

    asyncio.run(run())


def test_a_commit_wakes_whoever_waits_for_one(sqlite_url: str) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database, a_provider() as provider:
            await database.write(a_chat_batch, ["hello"])
            engine = an_engine(database, an_account(provider.base_url))
            async with at_work(engine):
                async with asyncio.timeout(30):
                    await engine.changed(3600.0)
                assert database.calls[record]
                await engine.changed(0.0)

    asyncio.run(run())
