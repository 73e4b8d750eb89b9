"""What becomes of an answer that is paid when our own code cannot read it, or cannot say it to its producer."""

import asyncio
from dataclasses import replace
from threading import get_ident
from typing import Any

import orjson
import pytest

from broker.domain.attempt import AttemptState, ErrorClass
from broker.domain.job import Endpoint
from broker.domain.report import Conclusion
from broker.domain.result import ResultState
from broker.domain.usage import UsageSource
from broker.testing.builders import MODEL
from tests.engines import ANSWER, answer
from tests.unit.workers.test_bench import Rig, benched
from workers.judge import Judge
from workers.pipeline import Pipeline
from workers.work import Work


def for_gemini(rig: Rig, choices: int) -> Work:
    """A job in Gemini's words, at a server of chats that gives one answer to a call."""
    body = orjson.dumps({
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}], "generationConfig": {"candidateCount": choices}
    })  # fmt: skip
    return rig.work(endpoint=Endpoint.GENERATE_CONTENT, body=body)


class Blind:
    """A judge with a defect."""

    def verdict(self, *_: object, **__: object) -> Any:
        raise ArithmeticError("in our own code")


def blinded(rig: Rig) -> None:
    judge: Any = Blind()
    rig.bench.judge = judge


def through(rig: Rig, work: Work) -> Any:
    """Steps five to seven as the pipeline takes them."""
    pipeline: Any = object.__new__(Pipeline)
    pipeline._bench = rig.bench
    return pipeline._carry_out(work)


def test_a_good_answer_that_cannot_be_read_is_kept_and_not_paid_again(sqlite_url: str) -> None:
    async def run() -> None:
        async with benched(sqlite_url) as rig:
            blinded(rig)
            await through(rig, rig.work())
            report = rig.reported()
            assert isinstance(report.then, Conclusion)
            assert (report.state, report.then.state) == (AttemptState.FAILED, ResultState.FAILED)
            assert (report.then.body, report.then.error_code) == (ANSWER, "defect")
            assert report.error is not None
            assert report.error.error_class is ErrorClass.MALFORMED_ANSWER
            assert "in our own code" not in report.error.message
            assert (await rig.bench.limiter.state(rig.bench.group)).in_flight == 0

    asyncio.run(run())


def test_an_error_that_cannot_be_read_is_an_unknown_outcome(sqlite_url: str) -> None:
    async def run() -> None:
        async with benched(sqlite_url) as rig:
            blinded(rig)
            rig.provider.respond = lambda _: answer(b"{}", status=500)
            await through(rig, rig.work())
            report = rig.reported()
            assert report.state is AttemptState.UNKNOWN
            assert report.error is not None
            assert report.error.error_class is ErrorClass.OUTCOME_UNKNOWN

    asyncio.run(run())


@pytest.mark.parametrize("choices", [1, 3])
@pytest.mark.parametrize("aborted", [False, True])
def test_an_answer_that_cannot_be_said_to_its_producer_is_kept_and_not_paid_again(
    sqlite_url: str, choices: int, *, aborted: bool
) -> None:
    async def run() -> None:
        async with benched(sqlite_url, caps={MODEL: {"choices": False}}) as rig:
            work = for_gemini(rig, choices)
            assert work.said is not None
            assert work.said.fan_out == choices
            work.job = replace(work.job, body=b"{")  # what no answer can be said to
            if aborted:
                await rig.bench.call(work)
                rig.bench.abort(work)
            else:
                await through(rig, work)
            report = rig.reported()
            assert isinstance(report.then, Conclusion)
            assert (report.state, report.then.state) == (AttemptState.OK, ResultState.FAILED)
            assert (report.then.body, report.then.error_code) == (ANSWER, "defect")
            assert report.then.status is None, "it is no answer in the producer's dialect"
            assert report.usage.source is UsageSource.REPORTED
            assert (report.usage.input_tokens, report.usage.output_tokens) == (7, 3)

    asyncio.run(run())


def a_large_answer(size: int) -> bytes:
    said = orjson.loads(ANSWER)
    said["choices"][0]["message"]["content"] = "x" * size
    return orjson.dumps(said)


def test_an_abort_while_a_large_answer_is_read_keeps_the_answer(sqlite_url: str) -> None:
    async def run() -> None:
        async with benched(sqlite_url) as rig:
            large = a_large_answer(1 << 20)
            rig.provider.respond = lambda _: answer(large)
            work = rig.work()
            reading = asyncio.Event()
            loop = asyncio.get_running_loop()
            judge = rig.bench.judge

            class Slow:
                def verdict(self, *args: Any, **more: Any) -> Any:
                    loop.call_soon_threadsafe(reading.set)
                    return Judge.verdict(judge, *args, **more)

            slow: Any = Slow()
            rig.bench.judge = slow
            task = asyncio.ensure_future(through(rig, work))
            await reading.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            report = rig.reported()
            assert isinstance(report.then, Conclusion)
            assert (report.state, report.then.body) == (AttemptState.OK, large)

    asyncio.run(run())


@pytest.mark.parametrize("size", [10, 1 << 20])
def test_the_event_loop_does_not_read_large_answers(sqlite_url: str, size: int) -> None:
    async def run() -> None:
        async with benched(sqlite_url) as rig:
            threads: list[int] = []
            judge = rig.bench.judge

            class Noting:
                def verdict(self, *args: Any, **more: Any) -> Any:
                    threads.append(get_ident())
                    return Judge.verdict(judge, *args, **more)

            noting: Any = Noting()
            rig.bench.judge = noting
            rig.provider.respond = lambda _: answer(a_large_answer(size))
            await rig.carried_out()
            assert (threads == [get_ident()]) is (size == 10)

    asyncio.run(run())
