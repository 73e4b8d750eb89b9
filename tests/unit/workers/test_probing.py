"""When a self-hosted server is asked what it is, and what becomes of its answers: over HTTP, from the simulator."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from broker.catalog.lookup import providers
from broker.domain.account import Account
from broker.domain.attempt import CallError, ErrorClass, Scope
from broker.domain.provider import ProbePage, ProviderFacts
from broker.testing.builders import ACCOUNT
from broker.testing.manual_clock import ManualClock
from broker.testing.raw_server import listening, response
from tests.engines import an_account
from tests.simulators import until
from workers.calls import Calls
from workers.capabilities import UNKNOWN
from workers.probing import AT_MOST_EVERY_S, ERRORS_IN_A_ROW, Probing, probe
from workers.provider_sim.config import SimConfig
from workers.provider_sim.server import ProviderSim

DEADLINE_S = 20.0


def account_of(url: str, engine: str = "llama.cpp", **changes: Any) -> Account:
    return an_account(url, provider=engine, facts=providers()[engine].facts, models={"m": "m"}, **changes)


def an_error(error_class: ErrorClass = ErrorClass.SERVER_ERROR) -> CallError:
    return CallError(error_class=error_class, scope=Scope.SAME, message="no")


def simulated(engine: str = "llama.cpp") -> ProviderSim:
    facts = {"engine": engine, "context_window": 4096, "slots": 3}
    return ProviderSim(SimConfig.model_validate({"models": ["m", "n"], "self_hosted": facts}))


class Pages:
    """A server that answers each path with what it is told to; another path's answer is a 404, or none at all."""

    def __init__(self) -> None:
        self.url = ""
        self.there = True
        self.answers: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.bodies: list[bytes] = []

    def are(self, *, slots: int, window: int) -> None:
        facts = {"build_info": "b1", "total_slots": slots, "default_generation_settings": {"n_ctx": window}}
        self.answers = {"/props": json.dumps(facts).encode(), "/v1/models": b'{"data": [{"id": "m"}]}'}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        _, path, _ = head.split(" ", 2)
        lengths = [line[15:] for line in head.lower().split("\r\n") if line.startswith("content-length:")]
        if lengths:
            self.bodies.append(await reader.readexactly(int(lengths[0])))
        self.asked.append(path)
        if self.there:
            known = self.answers.get(path)
            status = "404 Not Found" if known is None else "200 OK"
            writer.write(response(known or b"{}", "Connection: close", status=status))


@asynccontextmanager
async def serving() -> AsyncIterator[Pages]:
    pages = Pages()
    async with asyncio.timeout(DEADLINE_S), listening(pages.serve) as port:
        pages.url = f"http://127.0.0.1:{port}/v1"
        yield pages


class Rig:
    """A probing whose looks the test makes, where it wants one."""

    def __init__(self, probing: Probing, clock: ManualClock) -> None:
        self.probing = probing
        self.clock = clock

    async def looks(self) -> bool:
        wanted = self.probing._wanted.is_set()
        if wanted:
            self.probing._wanted.clear()
            await self.probing._look()
        return wanted

    def fails(self, times: int = ERRORS_IN_A_ROW, error_class: ErrorClass = ErrorClass.SERVER_ERROR) -> None:
        for _ in range(times):
            self.probing.went_wrong(an_error(error_class))


@asynccontextmanager
async def probing(account: Account) -> AsyncIterator[Rig]:
    """One that has looked once."""
    clock = ManualClock()
    async with Calls({}) as calls:
        rig = Rig(Probing(account, calls, clock), clock)
        await rig.probing._look()
        yield rig


@pytest.mark.parametrize(
    ("engine", "slots", "lacking"),
    [("vllm", None, ("z",)), ("llama.cpp", 3, ()), ("ollama", None, ("z",)), ("tgi", 3, ()), ("sglang", 3, ())],
)
def test_every_engine_says_what_it_is(engine: str, slots: int | None, lacking: tuple[str, ...]) -> None:
    async def run() -> None:
        async with simulated(engine) as sim, Calls({"authorization": "Bearer sim"}) as calls:
            found = await probe(account_of(f"{sim.url}/v1", engine), calls)
            assert found.engine == engine
            assert found.version
            assert (found.slots, found.context_window("m"), found.lacks(["m", "z"])) == (slots, 4096, lacking)

    asyncio.run(run())


def test_a_base_url_without_a_version_is_the_root_itself() -> None:
    async def run() -> None:
        async with simulated() as sim, Calls({"authorization": "Bearer sim"}) as calls:
            assert (await probe(account_of(sim.url), calls)).slots == 3

    asyncio.run(run())


def test_each_model_is_asked_about_once_by_its_name_there() -> None:
    page = ProbePage(path="/api/show", ask_field="model", context_window="/w")

    async def run() -> None:
        async with serving() as pages, Calls({}) as calls:
            pages.answers["/api/show"] = b'{"w": 7}'
            account = account_of(pages.url)
            facts = replace(account.facts, probe=(page,), any_model=False)
            found = await probe(replace(account, facts=facts, models={"a": "x", "b": "y", "c": "x"}), calls)
            assert pages.bodies == [b'{"model":"x"}', b'{"model":"y"}']
            assert dict(found.context_windows) == {"x": 7, "y": 7}

    asyncio.run(run())


def test_a_server_that_is_not_there_is_asked_for_one_page_only() -> None:
    async def run() -> None:
        async with serving() as pages, Calls({}) as calls:
            pages.there = False
            assert await probe(account_of(pages.url), calls) == UNKNOWN
            assert set(pages.asked) == {"/props"}

    asyncio.run(run())


def test_a_server_without_such_pages_is_unknown() -> None:
    async def run() -> None:
        async with serving() as pages, Calls({}) as calls:
            account = account_of(pages.url)
            assert await probe(account, calls) == UNKNOWN
            assert pages.asked == ["/props", "/v1/models"] == [page.path for page in account.facts.probe]

    asyncio.run(run())


@pytest.mark.parametrize("facts", [ProviderFacts(), ProviderFacts(self_hosted=True), providers()["openai"].facts])
def test_a_vendor_is_asked_nothing(facts: ProviderFacts) -> None:
    async def run() -> None:
        async with serving() as pages, Calls({}) as calls:
            probing = Probing(an_account(pages.url, facts=facts), calls, ManualClock())
            await probing.run()
            await probing.looked()
            for _ in range(ERRORS_IN_A_ROW):
                probing.went_wrong(an_error())
            probing.succeeded()
            await probing.run()
            assert (pages.asked, probing.capabilities, probing.words()) == ([], UNKNOWN, None)

    asyncio.run(run())


def test_a_server_that_comes_later_is_asked_at_its_first_good_answer() -> None:
    async def run() -> None:
        async with serving() as pages:
            pages.there = False
            async with probing(account_of(pages.url)) as rig:
                pages.there = True
                pages.are(slots=3, window=4096)
                assert not await rig.looks()
                rig.probing.succeeded()
                assert await rig.looks()
                assert rig.probing.words() == "llama.cpp b1, serves m, context window 4,096 tokens, 3 slots"
                rig.clock.advance(AT_MOST_EVERY_S)
                rig.probing.succeeded()
                assert not await rig.looks(), "it has said all"

    asyncio.run(run())


def test_a_silent_server_is_asked_once_a_minute_and_not_at_every_good_answer() -> None:
    async def run() -> None:
        async with serving() as pages, probing(account_of(pages.url)) as rig:
            looks = []
            for wait in (0, 0, AT_MOST_EVERY_S - 1, 1, 0, AT_MOST_EVERY_S):
                rig.clock.advance(wait)
                rig.probing.succeeded()
                looks.append(await rig.looks())
            assert looks == [True, False, False, True, False, True]

    asyncio.run(run())


def test_errors_in_a_row_show_that_it_may_be_another_server_now() -> None:
    async def run() -> None:
        async with serving() as pages:
            pages.are(slots=3, window=4096)
            async with probing(account_of(pages.url)) as rig:
                pages.are(slots=9, window=512)
                rig.clock.advance(AT_MOST_EVERY_S)
                rig.fails(ERRORS_IN_A_ROW - 1)
                rig.probing.succeeded()
                rig.fails(ERRORS_IN_A_ROW - 1)
                assert not await rig.looks(), "there were never so many in a row"
                rig.fails(1)
                assert await rig.looks()
                found = rig.probing.capabilities
                assert (found.slots, found.context_window("m")) == (9, 512)

    asyncio.run(run())


def test_errors_are_a_reason_once_a_minute() -> None:
    async def run() -> None:
        async with serving() as pages:
            pages.are(slots=3, window=4096)
            async with probing(account_of(pages.url)) as rig:
                looks = []
                for wait in (AT_MOST_EVERY_S - 1, 1, 0, AT_MOST_EVERY_S):
                    rig.clock.advance(wait)
                    rig.fails()
                    looks.append(await rig.looks())
                assert looks == [False, True, False, True]

    asyncio.run(run())


@pytest.mark.parametrize("error_class", [ErrorClass.NEVER_SENT, ErrorClass.UNTRANSLATABLE, ErrorClass.ABORTED])
def test_what_never_reached_the_server_says_nothing_of_it(error_class: ErrorClass) -> None:
    async def run() -> None:
        async with serving() as pages, probing(account_of(pages.url)) as rig:
            rig.clock.advance(AT_MOST_EVERY_S)
            rig.fails(50, error_class)
            assert not await rig.looks()

    asyncio.run(run())


def test_what_was_known_stays_while_the_server_is_away_and_is_asked_again_when_it_is_back() -> None:
    async def run() -> None:
        async with serving() as pages:
            pages.are(slots=3, window=4096)
            async with probing(account_of(pages.url)) as rig:
                pages.there = False
                rig.clock.advance(AT_MOST_EVERY_S)
                rig.fails(error_class=ErrorClass.CONNECTION)
                assert await rig.looks()
                assert rig.probing.capabilities.slots == 3
                pages.there = True
                pages.are(slots=4, window=4096)
                rig.probing.succeeded()
                assert await rig.looks()
                assert rig.probing.capabilities.slots == 4

    asyncio.run(run())


def test_it_asks_by_itself_at_the_start_and_when_there_is_reason_to() -> None:
    async def run() -> None:
        async with serving() as pages, Calls({}) as calls:
            pages.there = False
            probing = Probing(account_of(pages.url), calls, ManualClock())
            task = asyncio.create_task(probing.run())
            await probing.looked()
            assert set(pages.asked) == {"/props"}
            pages.there = True
            pages.are(slots=3, window=4096)
            probing.succeeded()
            await until(lambda: probing.capabilities.slots == 3)
            task.cancel()

    asyncio.run(run())


def test_calls_do_not_wait_long_for_the_first_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.probing.FIRST_LOOK_S", 0.01)

    async def run() -> None:
        async with Calls({}) as calls, asyncio.timeout(DEADLINE_S):
            await Probing(account_of("http://127.0.0.1:9/v1"), calls, ManualClock()).looked()  # and nobody looks

    asyncio.run(run())


def test_it_is_told_once_and_again_when_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with serving() as pages, probing(account_of(pages.url, "vllm")) as rig:
            await rig.probing._look()
            pages.answers = {"/version": b'{"version": "1"}', "/v1/models": b'{"data": [{"id": "other"}]}'}
            await rig.probing._look()
            await rig.probing._look()

    with caplog.at_level(logging.INFO, "penstock.worker"):
        asyncio.run(run())
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", f"the server of account {ACCOUNT} does not say what it is; its calls will show"),
        ("INFO", f"the server of account {ACCOUNT} says vllm 1, serves other"),
        ("WARNING", f"the server of account {ACCOUNT} does not serve m"),
    ]
