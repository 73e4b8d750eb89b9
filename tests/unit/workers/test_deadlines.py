"""One timer watches all calls of a client; each is stopped at its own time, and nobody else's wish is swallowed."""

import asyncio

import pytest

from workers.deadlines import Deadlines


async def _call(deadlines: Deadlines, forever: asyncio.Event) -> str:
    deadline = deadlines.start()
    try:
        await forever.wait()
    except asyncio.CancelledError:
        if not deadline.was_it():
            raise
        return "expired"
    finally:
        deadlines.finish(deadline)
    return "in time"


def test_a_call_that_never_ends_is_stopped() -> None:
    async def main() -> list[str]:
        deadlines = Deadlines(0.01)
        tasks = [asyncio.ensure_future(_call(deadlines, asyncio.Event())) for _ in range(3)]
        return [await task for task in tasks]

    assert asyncio.run(main()) == ["expired"] * 3


def test_a_call_that_ends_in_time_is_left_alone() -> None:
    async def main() -> str:
        done = asyncio.Event()
        done.set()
        return await _call(Deadlines(0.01), done)

    assert asyncio.run(main()) == "in time"


def test_a_cancellation_from_outside_goes_through() -> None:
    async def main() -> None:
        task = asyncio.ensure_future(_call(Deadlines(60.0), asyncio.Event()))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


def test_a_cancellation_from_outside_counts_also_when_the_deadline_has_just_passed() -> None:
    async def main() -> None:
        deadlines = Deadlines(60.0)
        task = asyncio.ensure_future(_call(deadlines, asyncio.Event()))
        await asyncio.sleep(0)
        (deadline,) = deadlines._running
        deadline.expire()
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


def test_a_finished_call_is_not_cancelled_later() -> None:
    async def main() -> str:
        deadlines = Deadlines(0.01)
        done = asyncio.Event()
        done.set()
        await _call(deadlines, done)
        return await _call(deadlines, asyncio.Event())

    assert asyncio.run(main()) == "expired"
