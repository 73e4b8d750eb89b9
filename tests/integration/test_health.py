"""How a process stands, asked over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from aiohttp import ClientSession

from broker.domain.clock import SystemClock
from broker.errors import ConfigError, StoreUnavailable
from broker.health.address import Address
from broker.health.server import PROBED_FOR_S, Check, Health, Probe
from broker.store import probe
from broker.testing.manual_clock import ManualClock
from tests.conftest import Opened
from tests.engines import opened

ANY = Address(host="127.0.0.1", port=0)


class Rig:
    def __init__(self, health: Health, clock: ManualClock, session: ClientSession) -> None:
        self.health = health
        self.clock = clock
        self._session = session

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        async with self._session.get(self.health.url + path) as answer:
            return answer.status, await answer.json()


@asynccontextmanager
async def served(
    checks: Mapping[str, Check] | None = None,
    probes: Mapping[str, Probe] | None = None,
    notes: Mapping[str, Check] | None = None,
    probe_within_s: float = 10.0,
) -> AsyncIterator[Rig]:
    clock = ManualClock()
    health = Health(ANY, clock=clock, checks=checks or {}, probes=probes, notes=notes, probe_within_s=probe_within_s)
    async with asyncio.timeout(30), health.serving(), ClientSession() as session:
        yield Rig(health, clock, session)


def test_a_process_without_trouble_is_alive_and_ready() -> None:
    async def scenario() -> None:
        async with served({"queue": lambda: None}, notes={"limits": lambda: None}) as rig:
            assert await rig.get("/livez") == (200, {"alive": True, "ended": [], "loop_lag_ms": 0.0})
            assert await rig.get("/readyz") == (
                200,
                {"ready": True, "checks": {"queue": None}, "notes": {"limits": None}, "loop_lag_ms": 0.0},
            )

    asyncio.run(scenario())


def test_a_check_that_complains_makes_it_unready_but_not_dead() -> None:
    async def scenario() -> None:
        trouble: list[str | None] = ["no connection to RabbitMQ"]
        async with served({"queue": lambda: trouble[0], "spool": lambda: None}) as rig:
            status, facts = await rig.get("/readyz")
            assert (status, facts["ready"]) == (503, False)
            assert facts["checks"] == {"queue": "no connection to RabbitMQ", "spool": None}
            assert (await rig.get("/livez"))[0] == 200
            trouble[0] = None
            assert (await rig.get("/readyz"))[0] == 200

    asyncio.run(scenario())


def test_a_note_is_shown_and_decides_nothing() -> None:
    async def scenario() -> None:
        async with served(notes={"limits": lambda: "Redis does not answer"}) as rig:
            status, facts = await rig.get("/readyz")
            assert (status, facts["notes"]) == (200, {"limits": "Redis does not answer"})

    asyncio.run(scenario())


def test_no_password_is_told() -> None:
    async def fails() -> str | None:
        raise StoreUnavailable("no way to postgresql://penstock:canary-word@host/db")

    async def scenario() -> None:
        words = {"queue": lambda: "amqp://guest:canary-word@host is away"}
        async with served(words, probes={"database": fails}, notes=words) as rig:
            status, facts = await rig.get("/readyz")
            assert status == 503
            assert "canary-word" not in str(facts)
            assert "host is away" in facts["checks"]["queue"]
            assert "host/db" in facts["checks"]["database"]

    asyncio.run(scenario())


def test_a_probe_asks_the_database(database: Opened) -> None:
    async def scenario() -> None:
        async with database() as real, served(probes={"database": partial(probe.answers, real)}) as rig:
            assert (await rig.get("/readyz"))[0] == 200

    asyncio.run(scenario())


def test_a_database_that_is_away_is_told(sqlite_url: str) -> None:
    async def scenario() -> None:
        async with opened(sqlite_url) as real, served(probes={"database": partial(probe.answers, real)}) as rig:
            real.down = True
            status, facts = await rig.get("/readyz")
            assert (status, facts["checks"]) == (503, {"database": "taken away by the test"})

    asyncio.run(scenario())


def test_a_probe_that_hangs_is_cut_off() -> None:
    async def hangs() -> str | None:
        await asyncio.Event().wait()
        return None

    async def scenario() -> None:
        async with served(probes={"database": hangs}, probe_within_s=0.05) as rig:
            status, facts = await rig.get("/readyz")
            assert (status, facts["checks"]) == (503, {"database": "no answer within 0.05 s"})

    asyncio.run(scenario())


def test_asking_often_does_not_probe_often() -> None:
    async def scenario() -> None:
        asked = []

        async def counted() -> str | None:
            asked.append(1)
            return None

        async with served(probes={"database": counted}) as rig:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(5):
                    tasks.create_task(rig.get("/readyz"))
            assert len(asked) == 1
            rig.clock.advance(PROBED_FOR_S)
            await rig.get("/readyz")
            assert len(asked) == 2

    asyncio.run(scenario())


def test_a_loop_that_was_stuck_is_not_alive() -> None:
    async def scenario() -> None:
        async with served() as rig:
            rig.clock.advance(5.2)
            assert (await rig.get("/livez"))[0] == 200
            rig.clock.advance(5.3)
            status, facts = await rig.get("/livez")
            assert (status, facts["alive"]) == (503, False)
            assert facts["loop_lag_ms"] > 5_000

    asyncio.run(scenario())


def test_without_a_task_that_must_run_it_is_not_alive() -> None:
    async def scenario() -> None:
        over = asyncio.Event()
        async with served() as rig, asyncio.TaskGroup() as tasks:
            rig.health.must_run("recorder", tasks.create_task(over.wait()))
            assert (await rig.get("/livez"))[0] == 200
            over.set()
            await asyncio.sleep(0)
            status, facts = await rig.get("/livez")
            assert (status, facts["ended"]) == (503, ["recorder"])

    asyncio.run(scenario())


def test_an_address_that_is_taken_is_refused_in_words() -> None:
    async def scenario() -> None:
        async with served() as rig:
            taken = Address(host="127.0.0.1", port=int(rig.health.url.rpartition(":")[2]))
            second = Health(taken, clock=SystemClock(), checks={})
            with pytest.raises(ConfigError, match=f"--health {taken}: cannot listen there: .*in use.*choose another"):
                async with second.serving():
                    pass

    asyncio.run(scenario())


def test_anything_else_is_not_served() -> None:
    async def scenario() -> None:
        async with served() as rig, ClientSession() as session:
            async with session.get(rig.health.url + "/") as answer:
                assert answer.status == 404
            async with session.post(rig.health.url + "/livez") as answer:
                assert answer.status == 405

    asyncio.run(scenario())
