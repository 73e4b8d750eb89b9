"""A fleet over real processes: starts, restarts, scales, replaces and drains them."""

import asyncio
import os
from itertools import accumulate
from pathlib import Path

import pytest

from broker.errors import ConfigError
from broker.testing.manual_clock import ManualClock
from tests.e2e.fleet_rig import Rig, a_fleet, accounts, until
from tests.engines import an_account
from workers.fleet import BEYOND_A_CALL_S


async def ended(rig: Rig) -> None:
    await until(lambda: rig.lost is not None)


def test_every_account_gets_its_processes(tmp_path: Path, sqlite_url: str) -> None:
    async def scenario() -> None:
        async with a_fleet(tmp_path, sqlite_url, accounts(a=2, b=1), modes={"b": ["slow"]}) as rig:
            await until(lambda: rig.count("ready", "a") == 2 and rig.count("began", "b") == 1)
            await until(lambda: rig.fleet.shortage() == "b: 0 of 1 processes are ready")
            rig.let("ready")
            await until(lambda: rig.fleet.shortage() is None)
            assert (rig.count("began", "a"), rig.count("began", "b")) == (2, 1)

    asyncio.run(scenario())


def test_what_processes_say_goes_through_with_their_name(tmp_path: Path, sqlite_url: str) -> None:
    async def scenario() -> None:
        async with a_fleet(tmp_path, sqlite_url, accounts(a=1), modes={"a": ["talk"]}) as rig:
            await until(lambda: rig.fleet.shortage() is None)
            await until(lambda: len(rig.complained) == 1)
            rig.fleet.stop()
            await ended(rig)
        assert b"".join(rig.said) == b"[a/1] one\n[a/1] two\n[a/1] no end\n"
        assert b"".join(rig.complained) == b"[a/1] three\n"

    asyncio.run(scenario())


def test_an_output_that_stays_open_does_not_hide_that_a_process_has_ended(tmp_path: Path, sqlite_url: str) -> None:
    async def scenario() -> None:
        async with a_fleet(tmp_path, sqlite_url, accounts(a=1), modes={"a": ["spawn"]}) as rig:
            await until(lambda: rig.fleet.shortage() is None)
            rig.fleet.stop()
            await ended(rig)
            assert rig.lost == ()
        (child,) = (entry["child"] for entry in rig.diary() if entry["what"] == "spawned")
        os.kill(child, 9)

    asyncio.run(scenario())


def test_processes_are_out_of_reach_of_a_terminal(tmp_path: Path, sqlite_url: str) -> None:
    async def scenario() -> None:
        async with a_fleet(tmp_path, sqlite_url, accounts(a=1)) as rig:
            await until(lambda: rig.fleet.shortage() is None)
            (began,) = (entry for entry in rig.diary() if entry["what"] == "began")
            assert began["session"] == began["pid"] != os.getsid(0)

    asyncio.run(scenario())


def test_a_process_that_ends_is_started_again(tmp_path: Path, sqlite_url: str) -> None:
    async def scenario() -> None:
        async with a_fleet(tmp_path, sqlite_url, accounts(a=1)) as rig:
            await until(lambda: rig.fleet.shortage() is None)
            os.kill(rig.pids("began")[0], 9)
            await until(lambda: rig.count("ready") == 2)
            await until(lambda: rig.fleet.shortage() is None)
            assert len(set(rig.pids("began"))) == 2

    asyncio.run(scenario())


def test_a_fleet_that_stops_lets_every_process_finish(tmp_path: Path, sqlite_url: str) -> None:
    async def scenario() -> None:
        async with a_fleet(tmp_path, sqlite_url, accounts(a=2, b=1), modes={"a": ["busy"], "b": ["busy"]}) as rig:
            await until(lambda: rig.fleet.shortage() is None)
            rig.fleet.stop()
            await until(lambda: rig.count("told") == 3)
            assert rig.lost is None
            rig.let("finished")
            await ended(rig)
            assert rig.lost == ()
            assert rig.count("told") == rig.count("ended") == 3

    asyncio.run(scenario())


def test_who_does_not_finish_within_the_grace_is_killed_and_named(tmp_path: Path, sqlite_url: str) -> None:
    async def scenario() -> None:
        modes = {"a": ["stubborn"], "b": []}
        async with a_fleet(tmp_path, sqlite_url, accounts(a=1, b=1), modes=modes, grace_s=0.5) as rig:
            await until(lambda: rig.fleet.shortage() is None)
            rig.fleet.stop()
            await ended(rig)
            assert rig.lost is not None
            (lost,) = rig.lost
            assert lost.startswith("a/1 ended by signal 9 (SIGKILL)")

    asyncio.run(scenario())


def test_killing_does_not_wait(tmp_path: Path, sqlite_url: str) -> None:
    async def scenario() -> None:
        async with a_fleet(tmp_path, sqlite_url, accounts(a=2), modes={"a": ["stubborn"]}) as rig:
            await until(lambda: rig.fleet.shortage() is None)
            rig.fleet.stop()
            await until(lambda: rig.count("told") == 2)
            rig.fleet.kill()
            await ended(rig)
            assert rig.lost is not None
            assert len(rig.lost) == 2

    asyncio.run(scenario())


def test_the_number_of_processes_follows_what_is_asked_for(tmp_path: Path, sqlite_url: str) -> None:
    async def scenario() -> None:
        async with a_fleet(tmp_path, sqlite_url, accounts(a=1, b=1)) as rig:
            await until(lambda: rig.fleet.shortage() is None)
            await rig.ask(a=4)
            await until(lambda: rig.count("ready", "a") == 4)
            await rig.ask(a=2)
            await until(lambda: rig.count("ended", "a") == 2)
            assert set(rig.pids("ended", "a")) <= set(rig.pids("ready", "a")[1:])  # the first one stays
            await rig.ask(a=0)
            await until(lambda: rig.count("ended", "a") == 4)
            assert rig.fleet.shortage() is None
            await rig.ask(a=None)
            await until(lambda: rig.count("ready", "a") == 5)
            assert rig.count("began", "b") == 1
            assert rig.count("told", "b") == 0

    asyncio.run(scenario())


def test_while_the_database_is_away_the_number_stays(tmp_path: Path, sqlite_url: str) -> None:
    async def scenario() -> None:
        async with a_fleet(tmp_path, f"sqlite:///{tmp_path}/none/there.db", accounts(a=2)) as rig:
            await until(lambda: rig.fleet.shortage() is None)
            assert rig.count("began") == 2

    asyncio.run(scenario())


def test_replacing_never_leaves_fewer_ready_processes_than_before(tmp_path: Path, sqlite_url: str) -> None:
    async def scenario() -> None:
        async with a_fleet(tmp_path, sqlite_url, accounts(a=3)) as rig:
            await until(lambda: rig.fleet.shortage() is None)
            first = set(rig.pids("ready"))
            rig.fleet.reload()
            await until(lambda: first <= set(rig.pids("ended")))
            await until(lambda: rig.fleet.shortage() is None)
            steps = [{"ready": 1, "told": -1}.get(entry["what"], 0) for entry in rig.diary()]
            present = list(accumulate(steps))
            assert min(present[present.index(3) :]) == 3
            assert max(present) == 4
            assert rig.count("began") == 6
            assert rig.count("told") == 3

    asyncio.run(scenario())


def test_the_next_process_is_replaced_when_the_one_before_has_finished(tmp_path: Path, sqlite_url: str) -> None:
    async def scenario() -> None:
        async with a_fleet(tmp_path, sqlite_url, accounts(a=2, b=0), modes={"a": ["busy"]}) as rig:
            await until(lambda: rig.fleet.shortage() is None)
            rig.fleet.reload()
            await until(lambda: rig.count("told") == 1)
            await rig.ask(b=1)  # other work goes on, for longer than a replacement takes
            await until(lambda: rig.count("ready", "b") == 1)
            assert rig.count("began", "a") == 3
            rig.let("finished")
            await until(lambda: rig.count("ended") == 2)
            diary = [entry["what"] for entry in rig.diary() if entry["what"] in {"told", "ended"}]
            assert diary == ["told", "ended", "told", "ended"]

    asyncio.run(scenario())


def test_where_a_new_process_does_not_come_up_the_present_ones_stay(
    tmp_path: Path, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with a_fleet(tmp_path, sqlite_url, accounts(a=2, b=1)) as rig:
            await until(lambda: rig.fleet.shortage() is None)
            rig.behave("a", "refuse")
            rig.fleet.reload()
            await until(lambda: rig.count("ended", "b") == 1)
            await until(lambda: "mend that" in caplog.text)
            assert rig.count("told", "a") == 0
            assert rig.count("began", "a") == 3
            assert rig.fleet.shortage() is None
        assert "a new process did not become ready, so the others stay as they are: a;" in caplog.text

    asyncio.run(scenario())


def test_accounts_come_and_go_with_the_configuration(tmp_path: Path, sqlite_url: str) -> None:
    async def scenario() -> None:
        async with a_fleet(tmp_path, sqlite_url, accounts(a=1, b=1)) as rig:
            await until(lambda: rig.fleet.shortage() is None)
            rig.behave("c")
            rig.configured = accounts(b=1, c=2)
            rig.fleet.reload()
            await until(lambda: rig.count("ended", "a") == 1 and rig.count("ready", "c") == 2)
            await until(lambda: rig.count("ended", "b") == 1)  # replaced
            await until(lambda: rig.fleet.shortage() is None)
            assert (rig.count("began", "a"), rig.count("began", "b"), rig.count("began", "c")) == (1, 2, 2)

    asyncio.run(scenario())


def test_longer_calls_get_more_patience(tmp_path: Path, sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        async with a_fleet(tmp_path, sqlite_url, accounts(a=1), clock=clock) as rig:
            await until(lambda: rig.fleet.shortage() is None)
            rig.behave("a", "stubborn")
            rig.configured = [an_account(name="a", timeout_seconds=1_000.0)]
            rig.fleet.reload()
            await until(lambda: rig.count("ended") == 1 and rig.fleet.shortage() is None)
            await rig.ask(a=0)
            clock.advance(1.0)
            await until(lambda: rig.count("told") == 2)
            clock.advance(1_000.0 + BEYOND_A_CALL_S)
            await until(lambda: "is killed" in caplog.text)
        assert "did not finish within 1060 s and is killed" in caplog.text

    asyncio.run(scenario())


def test_a_configuration_that_does_not_load_changes_nothing(
    tmp_path: Path, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with a_fleet(tmp_path, sqlite_url, accounts(a=1)) as rig:
            await until(lambda: rig.fleet.shortage() is None)
            rig.configured = ConfigError("penstock.toml:3: what is wrong")
            rig.fleet.reload()
            await until(lambda: "penstock.toml:3: what is wrong" in caplog.text)
            assert rig.count("began") == 1
            rig.configured = accounts(a=2)
            rig.fleet.reload()
            await until(lambda: rig.count("ready") == 3 and rig.count("ended") == 1)

    asyncio.run(scenario())


def test_a_process_that_is_being_replaced_and_one_that_is_ready_both_drain(tmp_path: Path, sqlite_url: str) -> None:
    async def scenario() -> None:
        async with a_fleet(tmp_path, sqlite_url, accounts(a=1)) as rig:
            await until(lambda: rig.fleet.shortage() is None)
            rig.behave("a", "silent")
            rig.fleet.reload()
            await until(lambda: rig.count("began") == 2)
            rig.fleet.stop()
            await ended(rig)
            assert rig.lost == ()
            assert rig.count("ended") == rig.count("told") == 2

    asyncio.run(scenario())
