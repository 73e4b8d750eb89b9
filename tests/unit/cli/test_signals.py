import asyncio
import os
import signal

import pytest

from broker.cli.signals import Aborted, interruptible


async def signalled(times: int, same_s: float) -> list[str]:
    """Signal work that goes on until it is drained; what happened to it."""
    happened: list[str] = []
    drained = asyncio.Event()

    async def work() -> list[str]:
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.01)
        await drained.wait()
        return happened

    def drain() -> None:
        happened.append("drain")
        asyncio.get_running_loop().call_later(0.2, drained.set)

    async with asyncio.timeout(10):
        return await interruptible(work(), drain=drain, same_s=same_s)


def test_signals_close_together_are_one() -> None:
    assert asyncio.run(signalled(3, same_s=5.0)) == ["drain"]


def test_a_second_signal_aborts() -> None:
    with pytest.raises(Aborted):
        asyncio.run(signalled(2, same_s=0.0))
