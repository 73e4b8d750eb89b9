"""What each step does to one job."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from broker.domain.account import Limits, Prices
from broker.domain.attempt import AttemptState, CallError, ErrorClass, Scope
from broker.domain.job import Endpoint, Job, JobKey
from broker.domain.report import Again, Conclusion, Report
from broker.domain.result import ResultState
from broker.domain.usage import UsageSource
from broker.limits.port import Ask, Charge
from broker.testing.builders import MODEL
from broker.testing.manual_clock import ManualClock
from broker.transport.port import Turn
from tests.engines import ANSWER, Provider, a_provider, an_account, an_engine, answer, opened
from workers.appetite import starts_per_second
from workers.bench import Bench
from workers.endings import Responded
from workers.work import Hand, Work

BODY = orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5})


class Rig:
    """One worker's bench, at a provider that listens; its recorder is not running, so reports stay to be seen."""

    def __init__(self, bench: Bench, provider: Provider, clock: ManualClock) -> None:
        self.bench = bench
        self.provider = provider
        self.clock = clock

    def work(
        self,
        *,
        position: int = 0,
        route: str = MODEL,
        body: bytes = BODY,
        endpoint: Endpoint = Endpoint.CHAT_COMPLETIONS,
    ) -> Work:
        job = Job(
            key=JobKey(1, position),
            custom_id=f"row-{position}",
            endpoint=endpoint,
            route=route,
            body=body,
        )
        work = self.bench.translate(job, Hand(_Held(Turn(route=route, jobs=(job,)))))
        work.number = 1
        return work

    async def carried_out(self, work: Work | None = None) -> Report:
        """Reserve, call, settle and record; returns what the recorder was given."""
        work = work or self.work()
        await self.bench.limiter.reserve(
            self.bench.group, [Ask(reservation_id=work.attempt_id, need=work.charge)], horizon_s=0.0
        )
        ending, verdict = await self.bench.call(work)
        await self.bench.settle(work, ending, verdict)
        await self.bench.record(work, ending, verdict)
        return self.reported()

    def reported(self) -> Report:
        report: Report = self.bench.recorder._reports.pop()
        return report


class _Held:
    def __init__(self, turn: Turn) -> None:
        self.turn = turn

    async def ack(self) -> None:
        return


@asynccontextmanager
async def benched(url: str, **account: Any) -> AsyncIterator[Rig]:
    clock = ManualClock()
    async with opened(url) as database, a_provider() as provider:
        bench = an_engine(database, an_account(provider.base_url, **account), clock=clock).workers[0].bench
        async with bench.calls, asyncio.timeout(30):
            await bench.heartbeat.register()
            yield Rig(bench, provider, clock)


def an_error(error_class: ErrorClass) -> CallError:
    return CallError(error_class=error_class, scope=Scope.SAME, message="no")


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(), None),
        (Limits(requests_per_minute=120), 2.0),
        (Limits(tokens_per_minute=6_000), 1.0),
        (Limits(input_tokens_per_minute=1_200), 0.5),
        (Limits(output_tokens_per_minute=7_200), 2.0),
        (Limits(requests_per_minute=120, tokens_per_minute=6_000), 1.0),
        (Limits(concurrency=3), None),
    ],
)
def test_the_declared_limits_say_how_many_calls_start_per_second(limits: Limits, expected: float | None) -> None:
    rate = starts_per_second(an_account(limits=limits), Charge(input_tokens=40, output_tokens=60))
    assert rate == (expected if expected is None else pytest.approx(expected))


def test_calls_without_tokens_are_limited_by_requests_only() -> None:
    limits = Limits(requests_per_minute=60, tokens_per_minute=10)
    assert starts_per_second(an_account(limits=limits), Charge()) == 1.0


def test_an_account_without_limits_takes_what_its_slots_hold(sqlite_url: str) -> None:
    async def run() -> None:
        async with benched(sqlite_url, worker_concurrency=10) as rig:
            assert rig.bench.appetite(0) == 10
            rig.bench.in_flight = 4
            assert rig.bench.appetite(3) == 3
            assert rig.bench.appetite(6) <= 0

    asyncio.run(run())


def test_an_account_with_limits_takes_what_it_can_start_soon(sqlite_url: str) -> None:
    async def run() -> None:
        async with benched(sqlite_url, limits=Limits(requests_per_minute=60), worker_concurrency=100) as rig:
            assert rig.bench.appetite(0) == 1
            assert rig.bench.appetite(1) <= 0

    asyncio.run(run())


def test_a_blocked_account_takes_nothing_and_then_one_job_as_a_probe(sqlite_url: str) -> None:
    async def run() -> None:
        async with benched(sqlite_url) as rig:
            rig.bench.health.went_wrong(an_error(ErrorClass.SPEND), rig.clock.monotonic(), JobKey(1, 0))
            assert rig.bench.appetite(0) == 0
            rig.clock.advance(3600)
            assert [rig.bench.appetite(held) for held in (0, 1)] == [1, 0]
            rig.bench.in_flight = 1
            assert rig.bench.appetite(0) == 0
            rig.bench.in_flight = 0
            rig.bench.health.succeeded(rig.clock.monotonic())
            assert rig.bench.appetite(0) == 8

    asyncio.run(run())


def test_a_body_goes_out_as_it_was_submitted(sqlite_url: str) -> None:
    async def run() -> None:
        async with benched(sqlite_url) as rig:
            work = rig.work()
            assert work.said is not None
            assert work.said.body is work.job.body
            assert (work.model, work.said.url) == (MODEL, f"{rig.provider.base_url}/chat/completions")

    asyncio.run(run())


@pytest.mark.parametrize("route", [MODEL, f"{MODEL}@vllm", f"{MODEL}@team-a"])
def test_the_providers_name_of_the_model_is_put_in(sqlite_url: str, route: str) -> None:
    async def run() -> None:
        async with benched(sqlite_url, models={MODEL: "their/name"}) as rig:
            work = rig.work(route=route, body=BODY.replace(MODEL.encode(), route.encode()))
            assert work.said is not None
            assert orjson.loads(work.said.body) == orjson.loads(BODY) | {"model": "their/name"}

    asyncio.run(run())


def test_a_good_answer_becomes_the_jobs_result(sqlite_url: str) -> None:
    async def run() -> None:
        async with benched(sqlite_url) as rig:
            report = await rig.carried_out()
            assert report.state is AttemptState.OK
            assert isinstance(report.then, Conclusion)
            assert (report.then.state, report.then.body, report.then.status) == (ResultState.SUCCEEDED, ANSWER, 200)
            assert (report.usage.input_tokens, report.usage.output_tokens) == (7, 3)
            assert report.usage.source is UsageSource.REPORTED
            assert rig.provider.call_ids == [report.attempt_id]
            assert (report.sent_at, report.finished_at) == (rig.clock.now(), rig.clock.now())

    asyncio.run(run())


def test_an_answer_without_usage_is_estimated_and_says_so(sqlite_url: str) -> None:
    async def run() -> None:
        async with benched(sqlite_url) as rig:
            without = orjson.loads(ANSWER)
            del without["usage"]
            rig.provider.respond = lambda _: answer(orjson.dumps(without))
            report = await rig.carried_out()
            assert report.state is AttemptState.OK
            assert report.usage.source is UsageSource.ESTIMATED
            assert report.usage.input_tokens

    asyncio.run(run())


def test_the_usage_of_an_answer_that_is_none_is_paid_and_counted(sqlite_url: str) -> None:
    async def run() -> None:
        prices = {MODEL: Prices(input=Decimal(1_000_000), output=Decimal(2_000_000))}
        async with benched(sqlite_url, prices=prices, limits=Limits(tokens_per_minute=6_000_000)) as rig:
            rig.clock.advance(5)  # there is something to be taken
            (before,) = (await rig.bench.limiter.state(rig.bench.group)).levels
            endless = orjson.loads(ANSWER)
            del endless["choices"][0]["finish_reason"]
            rig.provider.respond = lambda _: answer(orjson.dumps(endless))
            report = await rig.carried_out()
            assert report.state is AttemptState.FAILED
            assert report.usage.source is UsageSource.REPORTED
            assert (report.usage.input_tokens, report.usage.output_tokens) == (7, 3)
            assert report.cost == Decimal(13)
            assert report.price_version
            (after,) = (await rig.bench.limiter.state(rig.bench.group)).levels
            assert before.available - after.available == pytest.approx(10)

    asyncio.run(run())


@pytest.mark.parametrize("status", [200, 401])
def test_a_key_of_any_shape_that_the_provider_echoes_goes_nowhere(sqlite_url: str, tmp_path: Path, status: int) -> None:
    key = 'Open"Sesame/now'
    file = tmp_path / "key"
    file.write_text(key)

    async def run() -> None:
        async with benched(sqlite_url, secret=f"file:{file}") as rig:
            body = orjson.dumps({"error": {"message": f"who is {key}?", "code": key, "type": "x"}})
            rig.provider.respond = lambda _: answer(body, status=status, **{"x-request-id": key})
            work = rig.work()
            ending, verdict = await rig.bench.call(work)
            assert verdict.error is not None
            assert verdict.error.message == "who is ***?"
            assert (verdict.error.code, verdict.request_id) == ("***", "***")
            if status == 401:
                assert isinstance(ending, Responded)
                assert b"Sesame" not in ending.body

    asyncio.run(run())


def test_a_good_answer_keeps_its_bytes_though_they_spell_the_key(sqlite_url: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("assistant")

    async def run() -> None:
        async with benched(sqlite_url, secret=f"file:{file}") as rig:
            rig.provider.respond = lambda _: answer(ANSWER, status=200, **{"x-request-id": "the assistant"})
            report = await rig.carried_out()
            assert isinstance(report.then, Conclusion)
            assert (report.then.body, report.request_id) == (ANSWER, "the ***")

    asyncio.run(run())


def test_an_error_of_the_provider_is_tried_again(sqlite_url: str) -> None:
    async def run() -> None:
        async with benched(sqlite_url) as rig:
            rig.provider.respond = lambda _: answer(b"{}", status=500)
            report = await rig.carried_out()
            assert report.state is AttemptState.FAILED
            assert isinstance(report.then, Again)
            assert (report.usage.source, report.cost) == (UsageSource.MISSING, None)

    asyncio.run(run())


def test_a_job_that_used_up_its_tries_fails_with_the_providers_words(sqlite_url: str) -> None:
    async def run() -> None:
        async with benched(sqlite_url) as rig:
            body = b'{"error":{"message":"the key sk-abcdefghijklmnopqrstuvwx1234 broke","type":"server_error"}}'
            rig.provider.respond = lambda _: answer(body, status=500)
            work = rig.work()
            work.history = {ErrorClass.SERVER_ERROR: 2, ErrorClass.OVERLOADED: 2}
            report = await rig.carried_out(work)
            assert isinstance(report.then, Conclusion)
            assert (report.then.state, report.then.status) == (ResultState.FAILED, 500)
            assert report.then.body is not None
            assert b"broke" in report.then.body
            assert b"sk-abc" not in report.then.body

    asyncio.run(run())


def test_a_worker_with_an_old_life_sign_starts_no_call(sqlite_url: str) -> None:
    async def run() -> None:
        async with benched(sqlite_url) as rig:
            rig.clock.advance(15)
            report = await rig.carried_out()
            assert rig.provider.asked == []
            assert (report.state, report.sent_at) == (AttemptState.REFUSED, None)
            assert report.error is not None
            assert report.error.error_class is ErrorClass.NEVER_SENT
            assert isinstance(report.then, Again)

    asyncio.run(run())


def test_a_rate_limit_pauses_the_account(sqlite_url: str) -> None:
    async def run() -> None:
        async with benched(sqlite_url) as rig:
            error = b'{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}'
            rig.provider.respond = lambda _: answer(error, status=429, **{"retry-after": "20"})
            report = await rig.carried_out()
            assert (report.state, type(report.then)) == (AttemptState.REFUSED, Again)
            assert (await rig.bench.limiter.state(rig.bench.group)).paused_for_s == pytest.approx(20, abs=1)

    asyncio.run(run())


def test_two_refusals_of_the_key_block_the_account_and_no_job_fails(sqlite_url: str) -> None:
    async def run() -> None:
        async with benched(sqlite_url) as rig:
            error = b'{"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}}'
            rig.provider.respond = lambda _: answer(error, status=401)
            first = await rig.carried_out()
            assert rig.bench.health.reason is None
            second = await rig.carried_out(rig.work(position=1))
            assert rig.bench.health.reason is not None
            assert {type(report.then) for report in (first, second)} == {Again}

    asyncio.run(run())


@pytest.mark.parametrize(
    ("sent_at", "state", "error_class"),
    [
        (None, AttemptState.REFUSED, ErrorClass.NEVER_SENT),
        (1_800_000_000.0, AttemptState.UNKNOWN, ErrorClass.ABORTED),
    ],
)
def test_an_aborted_call_is_unknown_only_if_it_was_sent(
    sqlite_url: str, sent_at: float | None, state: AttemptState, error_class: ErrorClass
) -> None:
    async def run() -> None:
        async with benched(sqlite_url) as rig:
            work = rig.work()
            work.sent_at = sent_at
            rig.bench.abort(work)
            report = rig.reported()
            assert (report.state, type(report.then)) == (state, Again)
            assert report.error is not None
            assert report.error.error_class is error_class

    asyncio.run(run())


def test_an_abort_behind_the_answer_keeps_the_answer(sqlite_url: str) -> None:
    """Settling may have to wait for a server; whoever aborts meanwhile must not lose what was paid for."""

    async def run() -> None:
        async with benched(sqlite_url) as rig:
            work = rig.work()
            await rig.bench.call(work)
            rig.bench.abort(work)
            report = rig.reported()
            assert (report.state, type(report.then)) == (AttemptState.OK, Conclusion)
            assert report.usage.source is UsageSource.REPORTED

    asyncio.run(run())


def test_a_defect_of_ours_is_an_unknown_outcome(sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with benched(sqlite_url) as rig:
            await rig.bench.defect(rig.work(), ArithmeticError("in our own code"))
            report = rig.reported()
            assert (report.state, type(report.then)) == (AttemptState.UNKNOWN, Again)
            assert report.error is not None
            assert report.error.error_class is ErrorClass.OUTCOME_UNKNOWN
            assert "in our own code" not in report.error.message

    asyncio.run(run())
    assert "in our own code" in caplog.text


def test_the_slot_is_free_again_whatever_happened(sqlite_url: str) -> None:
    async def run() -> None:
        async with benched(sqlite_url, limits=Limits(concurrency=1)) as rig:
            for status in (200, 500, 429, 401, 400):
                rig.provider.respond = lambda _, status=status: answer(  # type: ignore[misc]
                    ANSWER if status == 200 else b"{}", status=status
                )
                await rig.carried_out()
                assert rig.bench.in_flight == 0
                assert (await rig.bench.limiter.state(rig.bench.group)).in_flight == 0

    asyncio.run(run())


def test_a_body_that_our_parser_does_not_take_is_sent_as_it_is(sqlite_url: str) -> None:
    async def run() -> None:
        async with benched(sqlite_url) as rig:
            body = b'{"model":"gpt-5-mini","messages":[],"seed":' + b"9" * 400 + b".0}"
            said = rig.work(body=body).said
            assert said is not None
            assert said.body == body

    asyncio.run(run())
