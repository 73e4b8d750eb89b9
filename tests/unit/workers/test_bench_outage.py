"""What an outage of the provider changes for the calls that meet it: only what it may have caused."""

import asyncio
from dataclasses import replace

import pytest

from broker.domain.attempt import CallError, ErrorClass, Scope
from broker.domain.job import JobKey
from broker.domain.report import Again, Conclusion
from broker.testing.raw_server import server
from tests.engines import answer
from tests.unit.workers.test_bench import Rig, benched
from workers.account_health import OUTAGE_ERRORS, Health

OVERLOADED = b'{"error":{"message":"overloaded","code":"server_is_overloaded"}}'
REFUSED = b'{"error":{"message":"no such parameter","code":"invalid_request_error"}}'


def in_an_outage(rig: Rig) -> None:
    """Many jobs have met the provider's own errors, and it is time to look for it again."""
    error = CallError(error_class=ErrorClass.SERVER_ERROR, scope=Scope.SAME, message="HTTP 500")
    for position in range(OUTAGE_ERRORS):
        rig.bench.health.went_wrong(error, rig.clock.monotonic(), JobKey(1, 100 + position))
    assert rig.bench.health.health is Health.FAILING
    rig.clock.advance(2.0)


@pytest.mark.parametrize(
    ("outage", "expected"), [(True, ErrorClass.OUTAGE), (False, ErrorClass.OVERLOADED)], ids=["outage", "none"]
)
def test_an_error_of_the_provider_is_the_outages_while_there_is_one(
    sqlite_url: str, outage: bool, expected: ErrorClass
) -> None:
    async def run() -> None:
        async with benched(sqlite_url) as rig:
            if outage:
                in_an_outage(rig)
            rig.provider.respond = lambda _: answer(OVERLOADED, status=503)
            report = await rig.carried_out()
            assert report.error is not None
            assert report.error.error_class is expected
            assert isinstance(report.then, Again)

    asyncio.run(run())


def test_a_request_that_is_wrong_fails_during_an_outage_too(sqlite_url: str) -> None:
    async def run() -> None:
        async with benched(sqlite_url) as rig:
            in_an_outage(rig)
            rig.provider.respond = lambda _: answer(REFUSED, status=400)
            report = await rig.carried_out()
            assert isinstance(report.then, Conclusion)
            assert report.then.status == 400

    asyncio.run(run())


def test_a_call_without_an_answer_may_be_paid_for_during_an_outage_too(sqlite_url: str) -> None:
    """It uses up the tries that unknown outcomes have: else an outage could be paid for without end."""

    async def run() -> None:
        async with server() as silent, benched(sqlite_url) as rig:
            in_an_outage(rig)
            work = rig.work()
            assert work.said is not None
            work.said = replace(work.said, url=silent.url)
            work.history = {ErrorClass.OUTCOME_UNKNOWN: rig.bench.policy.unknown_retries}
            report = await rig.carried_out(work)
            assert report.error is not None
            assert report.error.error_class is ErrorClass.OUTCOME_UNKNOWN
            assert isinstance(report.then, Conclusion)

    asyncio.run(run())
