"""Every transport keeps the transport's contract."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from broker.testing.contracts.transport import CASES, TransportRig
from broker.transport.local import LocalTransport
from tests.rabbit_rig import Rig, a_transport

MakeRig = Callable[[], AbstractAsyncContextManager[TransportRig]]


@asynccontextmanager
async def local() -> AsyncIterator[Rig]:
    yield Rig(transport=LocalTransport())


@pytest.fixture(params=["local", "rabbitmq"])
def make(request: pytest.FixtureRequest) -> MakeRig:
    if request.param == "local":
        return local
    url: str = request.getfixturevalue("rabbitmq_url")

    @asynccontextmanager
    async def rabbitmq() -> AsyncIterator[Rig]:
        async with a_transport(url) as transport:
            yield Rig(transport=transport)

    return rabbitmq


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_transport(case: Callable[[TransportRig], Awaitable[None]], make: MakeRig) -> None:
    async def run() -> None:
        async with make() as rig:
            await case(rig)

    asyncio.run(run())
