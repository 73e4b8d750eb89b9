"""A job that takes several calls: what is asked for, and how their answers become one."""

import asyncio
from typing import Any

import orjson
import pytest

from broker.domain.job import Endpoint
from broker.domain.report import Conclusion, Part
from broker.domain.result import ResultState
from broker.testing.builders import MODEL
from tests.engines import ANSWER, answer
from tests.unit.workers.test_bench import benched
from workers.part_answers import kept

ONE_BY_ONE: dict[str, Any] = {"caps": {MODEL: {"choices": False}}}


def an_answer(text: str) -> bytes:
    said = orjson.loads(ANSWER)
    said["choices"][0]["message"]["content"] = text
    return orjson.dumps(said)


def a_chat(prompt: str, choices: int) -> bytes:
    return b'{"model":"%b","messages":[{"role":"user","content":"%b"}],"n":%d}' % (
        MODEL.encode(), prompt.encode(), choices,
    )  # fmt: skip


@pytest.mark.parametrize("texts", [("a", "b", "c"), ("a", "", "c"), ("", "", "")])
@pytest.mark.parametrize("endpoint", [Endpoint.CHAT_COMPLETIONS, Endpoint.GENERATE_CONTENT])
def test_each_answer_that_was_paid_is_part_of_the_result(
    sqlite_url: str, endpoint: Endpoint, texts: tuple[str, ...]
) -> None:
    """Also one without a word, which Gemini itself would not give."""
    gemini = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "generationConfig": {"candidateCount": 3}}
    body = a_chat("hi", 3) if endpoint is Endpoint.CHAT_COMPLETIONS else orjson.dumps(gemini)

    async def run() -> None:
        async with benched(sqlite_url, **ONE_BY_ONE) as rig:
            parts: tuple[bytes, ...] = ()
            for number, text in enumerate(texts):
                rig.provider.respond = lambda _, text=text: answer(an_answer(text))  # type: ignore[misc]
                work = rig.work(body=body, endpoint=endpoint)
                work.parts = parts
                if parts:
                    rig.bench.go_on(work)
                then = (await rig.carried_out(work)).then
                if number < 2:
                    assert isinstance(then, Part)
                    assert then.number == number
                    parts += (then.body,)
            assert isinstance(then, Conclusion)
            assert (then.state, then.parts) == (ResultState.SUCCEEDED, 2)
            assert then.body is not None
            whole = orjson.loads(then.body)
            if endpoint is Endpoint.CHAT_COMPLETIONS:
                assert [choice["message"]["content"] or "" for choice in whole["choices"]] == list(texts)
                assert whole["usage"]["total_tokens"] == 30
            else:
                said = [candidate["content"].get("parts", [{"text": ""}]) for candidate in whole["candidates"]]
                assert [parts[0]["text"] for parts in said] == list(texts)
                assert whole["usageMetadata"]["totalTokenCount"] == 30

    asyncio.run(run())


@pytest.mark.parametrize("prompt", ["hi", r"half an emoji \ud83d"], ids=["plain", "half a surrogate pair"])
def test_as_many_answers_are_asked_for_as_are_missing(sqlite_url: str, prompt: str) -> None:
    """Also where the fast parser does not take the body."""

    async def run() -> None:
        async with benched(sqlite_url, **ONE_BY_ONE) as rig:
            work = rig.work(body=a_chat(prompt, 4))
            assert work.said is not None
            assert work.said.fan_out == 4
            work.parts = (kept(ANSWER, ()),)
            rig.bench.go_on(work)
            assert work.said is not None
            assert work.said.fan_out == 3
        async with benched(sqlite_url, caps={MODEL: {"choices": True}}) as rig:
            work = rig.work(body=a_chat(prompt, 4))
            work.parts = (kept(ANSWER, ()),)
            rig.bench.go_on(work)
            assert work.said is not None
            assert (work.said.fan_out, work.said.items) == (1, 3)
            assert orjson.loads(work.said.body.replace(rb"\ud83d", b""))["n"] == 3

    asyncio.run(run())


def test_what_was_lost_for_one_of_the_answers_is_told_with_all(sqlite_url: str) -> None:
    """The account that brings the last one may have lost nothing."""

    async def run() -> None:
        async with benched(sqlite_url, **ONE_BY_ONE) as rig:
            first = (await rig.carried_out(rig.work(body=a_chat("hi", 2)))).then
            assert isinstance(first, Part)
        async with benched(sqlite_url, caps={MODEL: {"choices": True}}) as rig:
            work = rig.work(body=a_chat("hi", 2))
            assert work.losses == ()
            work.parts = (first.body,)
            rig.bench.go_on(work)
            whole = (await rig.carried_out(work)).then
            assert isinstance(whole, Conclusion)
            assert [loss.code for loss in whole.warnings] == ["fan_out"]

    asyncio.run(run())
