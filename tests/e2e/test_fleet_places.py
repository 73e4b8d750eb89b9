"""One place of a fleet, on a clock that the test owns: pauses, patience and what a process leaves behind."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from broker.testing.manual_clock import ManualClock
from tests.e2e.fleet_rig import PROGRAM, Programs, until
from workers.launching import Launch
from workers.place import Place
from workers.restarts import Restarts
from workers.supervised import Supervised

PATIENCE_S = 660.0


class Rig(Programs):
    """A place whose time stands still."""

    def __init__(self, folder: Path, parent: int, command: tuple[str, ...]) -> None:
        super().__init__(folder)
        self.clock = ManualClock()
        self.command = command
        self.begun: list[Supervised] = []
        self._parent = parent
        self.place = Place(
            "a/1",
            begin=self._begin,
            patience_s=PATIENCE_S,
            restarts=Restarts(lambda: 0.5),
            clock=self.clock,
        )

    def _begin(self) -> Supervised:
        launch = Launch(command=self.command, environment={})
        process = Supervised("a/1", launch, out=_drop, err=_drop, parent=self._parent, clock=self.clock)
        self.begun.append(process)
        return process

    async def resting(self, ends: int) -> None:
        """Wait until so many processes have ended and the place rests."""
        await until(lambda: len(self.begun) == ends and self.begun[-1].ended.is_set() and self.clock.sleepers == 1)


def _drop(_: bytes) -> None:
    pass


@asynccontextmanager
async def a_place(folder: Path, *modes: str, command: tuple[str, ...] = ()) -> AsyncIterator[Rig]:
    reading, writing = os.pipe()
    rig = Rig(folder, reading, command or (sys.executable, "-I", "-S", str(PROGRAM), str(folder), "a"))
    rig.behave("a", *modes)
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(rig.place.run())
            try:
                yield rig
            finally:
                rig.place.kill()
                await running
    finally:
        os.close(reading)
        os.close(writing)


def test_the_pause_doubles_while_processes_crash(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with a_place(tmp_path, "crash") as rig:
            for ends, pause_s in enumerate((0.5, 1.0, 2.0, 4.0), start=1):
                await rig.resting(ends)
                rig.clock.advance(pause_s - 0.01)
                await asyncio.sleep(0)
                assert rig.clock.sleepers == 1
                rig.clock.advance(0.02)
            await rig.resting(5)
        assert "ended with exit status 3" in caplog.text
        assert "the 4th time in a row; another one begins in 4.0 s" in caplog.text

    asyncio.run(scenario())


def test_a_process_that_refuses_its_configuration_is_tried_again_slowly(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_place(tmp_path, "refuse") as rig:
            await rig.resting(1)
            rig.clock.advance(59.0)
            await asyncio.sleep(0)
            assert rig.clock.sleepers == 1
            rig.clock.advance(2.0)
            await rig.resting(2)

    asyncio.run(scenario())


def test_a_process_that_lasted_begins_again_soon(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_place(tmp_path, "crash") as rig:
            for ends, pause_s in enumerate((0.5, 1.0, 2.0), start=1):
                await rig.resting(ends)
                rig.behave("a", *(["crash"] if ends < 3 else []))
                rig.clock.advance(pause_s + 0.01)
            await until(lambda: rig.place.ready)
            rig.clock.advance(61.0)
            rig.behave("a", "crash")
            rig.begun[-1].kill()
            await rig.resting(4)
            rig.clock.advance(0.51)
            await rig.resting(5)

    asyncio.run(scenario())


def test_a_command_that_is_not_there_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with a_place(tmp_path, command=(str(tmp_path / "nothing"),)) as rig:
            await rig.resting(1)
            rig.clock.advance(0.51)
            await rig.resting(2)
        assert "could not be started: [Errno 2]" in caplog.text

    asyncio.run(scenario())


def test_a_place_that_rests_is_filled_at_once_by_a_replacement(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_place(tmp_path, "refuse") as rig:
            await rig.resting(1)
            rig.behave("a")
            assert await rig.place.replace(ready_within_s=60.0)
            assert rig.place.ready
            assert len(rig.begun) == 2

    asyncio.run(scenario())


def test_a_replacement_that_is_not_ready_in_time_is_given_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_place(tmp_path) as rig, asyncio.TaskGroup() as tasks:
            await until(lambda: rig.place.ready)
            rig.behave("a", "silent")
            replacing = tasks.create_task(rig.place.replace(ready_within_s=60.0))
            await until(lambda: rig.count("began") == 2)
            rig.clock.advance(60.0)
            assert not await replacing
            await until(lambda: rig.count("ended") == 1)
            first, second = rig.begun
            assert first.up
            assert second.told
            assert rig.place.ready

    asyncio.run(scenario())


def test_a_process_that_ends_while_it_is_replaced_leaves_its_place_to_the_next(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_place(tmp_path) as rig, asyncio.TaskGroup() as tasks:
            await until(lambda: rig.place.ready)
            rig.behave("a", "slow")
            replacing = tasks.create_task(rig.place.replace(ready_within_s=60.0))
            await until(lambda: rig.count("began") == 2)
            rig.begun[0].kill()
            await until(lambda: not rig.place.ready)
            rig.let("ready")
            assert await replacing
            assert rig.place.ready
            assert len(rig.begun) == 2

    asyncio.run(scenario())


def test_who_does_not_end_is_killed_when_no_call_can_take_longer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_place(tmp_path, "stubborn") as rig:
            await until(lambda: rig.place.ready)
            rig.place.give_up()
            await until(lambda: rig.count("told") == 1 and rig.clock.sleepers == 1)
            rig.clock.advance(PATIENCE_S - 1)
            await asyncio.sleep(0)
            assert not rig.begun[0].ended.is_set()
            rig.clock.advance(1)
            await until(lambda: rig.place.lost)
        assert rig.place.lost[0].startswith("a/1 ended by signal 9 (SIGKILL)")

    asyncio.run(scenario())


def test_a_process_is_told_only_once(tmp_path: Path) -> None:
    """A second signal would mean to give up the calls in flight."""

    async def scenario() -> None:
        async with a_place(tmp_path, "busy") as rig:
            await until(lambda: rig.place.ready)
            rig.place.give_up()
            await until(lambda: rig.count("told") == 1)
            rig.place.give_up()
            rig.begun[0].terminate()
            rig.let("finished")
            await rig.begun[0].ended.wait()
            assert rig.count("told") == 1
            assert rig.place.lost == []

    asyncio.run(scenario())


def test_one_that_crashes_instead_of_finishing_is_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_place(tmp_path, "busy") as rig:
            await until(lambda: rig.place.ready)
            rig.place.give_up()
            await until(lambda: rig.count("told") == 1)
            rig.begun[0].kill()
            await until(lambda: rig.place.lost)

    asyncio.run(scenario())


def test_lines_of_any_length_go_through() -> None:
    async def scenario() -> list[bytes]:
        said: list[bytes] = []
        reading, writing = os.pipe()
        try:
            talk = "import sys; sys.stdout.write('x' * 200_000 + '\\n' + 'y\\n' * 3)"
            launch = Launch(command=(sys.executable, "-I", "-S", "-c", talk), environment={})
            process = Supervised("a/1", launch, out=said.append, err=_drop, parent=reading, clock=ManualClock())
            await process.run()
        finally:
            os.close(reading)
            os.close(writing)
        return b"".join(said).splitlines()

    lines = asyncio.run(scenario())
    assert all(line.startswith(b"[a/1] ") for line in lines)
    assert sum(line.count(b"x") for line in lines) == 200_000
    assert max(map(len, lines)) < 140_000
    assert lines[-3:] == [b"[a/1] y"] * 3
