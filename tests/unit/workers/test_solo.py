"""The process-wide gate: calls together, or one suspect alone."""

import asyncio

import pytest

from workers.solo import Solo


async def a_few_turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Suspect:
    """Wants to run alone; says when it runs, and runs until told to end."""

    def __init__(self, solo: Solo) -> None:
        self._solo = solo
        self.runs = False
        self.end = asyncio.Event()

    async def run(self) -> None:
        async with self._solo.alone():
            self.runs = True
            await self.end.wait()
        self.runs = False


def test_calls_run_together() -> None:
    async def run() -> None:
        solo = Solo()
        async with asyncio.timeout(10):
            await solo.join(3)
            await solo.join(2)

    asyncio.run(run())


def test_a_suspect_waits_for_the_last_call() -> None:
    async def run() -> None:
        solo = Solo()
        await solo.join(2)
        suspect = Suspect(solo)
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            tasks.create_task(suspect.run())
            solo.leave()
            await a_few_turns()
            assert not suspect.runs
            solo.leave()
            await a_few_turns()
            assert suspect.runs
            suspect.end.set()

    asyncio.run(run())


def test_nothing_starts_beside_a_suspect_that_runs_or_waits() -> None:
    async def run() -> None:
        solo = Solo()
        await solo.join(1)
        suspect = Suspect(solo)
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            tasks.create_task(suspect.run())
            await a_few_turns()
            newcomer = tasks.create_task(solo.join(1))
            await a_few_turns()
            assert not newcomer.done()
            solo.leave()
            await a_few_turns()
            assert suspect.runs
            assert not newcomer.done()
            suspect.end.set()
            await newcomer

    asyncio.run(run())


def test_newcomers_run_between_two_suspects() -> None:
    async def run() -> None:
        solo = Solo()
        first, second = Suspect(solo), Suspect(solo)
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            tasks.create_task(first.run())
            await a_few_turns()
            newcomer = tasks.create_task(solo.join(1))
            await a_few_turns()
            tasks.create_task(second.run())
            first.end.set()
            await newcomer
            await a_few_turns()
            assert not second.runs
            solo.leave()
            await a_few_turns()
            assert second.runs
            second.end.set()

    asyncio.run(run())


def test_a_suspect_that_gives_up_waiting_is_in_nobodys_way() -> None:
    async def run() -> None:
        solo = Solo()
        await solo.join(1)
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            suspect = tasks.create_task(Suspect(solo).run())
            await a_few_turns()
            suspect.cancel()
            await solo.join(1)

    asyncio.run(run())


def test_a_newcomer_that_gives_up_waiting_counts_for_nothing() -> None:
    async def run() -> None:
        solo = Solo()
        first, second = Suspect(solo), Suspect(solo)
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            tasks.create_task(first.run())
            await a_few_turns()
            newcomer = tasks.create_task(solo.join(5))
            await a_few_turns()
            newcomer.cancel()
            first.end.set()
            second.end.set()
            await second.run()

    asyncio.run(run())


def test_a_suspect_that_fails_frees_the_others() -> None:
    async def run() -> None:
        solo = Solo()

        async def failing() -> None:
            async with solo.alone():
                raise ArithmeticError

        with pytest.raises(ArithmeticError):
            await failing()
        async with asyncio.timeout(10):
            await solo.join(1)

    asyncio.run(run())
