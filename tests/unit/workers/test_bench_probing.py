"""What a bench makes of what its server says, and when it has the server asked again."""

import asyncio
from typing import Any

import pytest

from broker.catalog.lookup import providers
from broker.domain.account import Account, Limits
from broker.domain.attempt import AttemptState, CallError, ErrorClass, Scope
from broker.domain.job import Endpoint, Job, JobKey
from broker.domain.usage import NO_USAGE
from broker.protocols.canonical.answer import Answer
from broker.testing.builders import MODEL
from broker.testing.manual_clock import ManualClock
from broker.transport.port import Turn
from tests.engines import an_account, an_engine, opened
from workers.bench import Bench
from workers.capabilities import Capabilities
from workers.classify import Verdict
from workers.endings import NotConnected
from workers.probing import AT_MOST_EVERY_S, ERRORS_IN_A_ROW
from workers.work import Hand, Work


def self_hosted(**changes: Any) -> Account:
    return an_account(provider="llama.cpp", facts=providers()["llama.cpp"].facts, **changes)


def a_work(bench: Bench) -> Work:
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
    job = Job(key=JobKey(1, 0), custom_id="row", endpoint=Endpoint.CHAT_COMPLETIONS, route=MODEL, body=body)
    return bench.translate(job, Hand(_Held(Turn(route=MODEL, jobs=(job,)))))


class _Held:
    def __init__(self, turn: Turn) -> None:
        self.turn = turn

    async def ack(self) -> None:
        return


@pytest.mark.parametrize(
    ("changes", "slots"),
    [
        ({}, 3),
        ({"limits": Limits(concurrency=5)}, 5),
        ({"limits": Limits(concurrency=2)}, 2),
        ({"worker_concurrency": 2}, 2),
        ({"workers": 3}, 1),
        ({"workers": 7}, 1),
    ],
)
def test_a_server_may_say_how_many_calls_it_takes_where_nobody_else_did(
    sqlite_url: str, changes: dict[str, Any], slots: int
) -> None:
    async def run() -> None:
        async with opened(sqlite_url) as database:
            bench = an_engine(database, self_hosted(**changes)).workers[0].bench
            async with bench.calls:
                bench.probing.capabilities = Capabilities(slots=3)
                assert bench.slots == slots

    asyncio.run(run())


def test_what_calls_end_with_is_a_reason_to_ask(sqlite_url: str) -> None:
    """A bench tells its probing of every call that it settles."""

    async def run() -> None:
        async with opened(sqlite_url) as database:
            clock = ManualClock()
            bench = an_engine(database, self_hosted(), clock=clock).workers[0].bench
            async with bench.calls:
                work = a_work(bench)
                await bench.probing._look()
                good = Verdict(state=AttemptState.OK, answer=Answer(model="m", usage=NO_USAGE))
                await bench.settle(work, NotConnected(reason=""), good)
                assert bench.probing._wanted.is_set(), "nobody was there before"
                bench.probing._wanted.clear()
                clock.advance(AT_MOST_EVERY_S)
                for _ in range(ERRORS_IN_A_ROW):
                    assert not bench.probing._wanted.is_set()
                    error = CallError(error_class=ErrorClass.SERVER_ERROR, scope=Scope.SAME, message="no")
                    await bench.settle(work, NotConnected(reason=""), Verdict(state=AttemptState.FAILED, error=error))
                assert bench.probing._wanted.is_set()

    asyncio.run(run())
