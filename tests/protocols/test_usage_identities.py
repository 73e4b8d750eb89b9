"""Tokens add up in every dialect, whoever counted them: what is read, written elsewhere, and read again is the same."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import pytest

from broker.domain.dialect import Dialect
from broker.domain.usage import NO_USAGE, Usage, UsageSource
from broker.protocols.canonical.answer import Answer, Finish, Output
from broker.protocols.canonical.parts import TextPart
from broker.protocols.registry import codec_of

DRAWN = 400
GENERATING = tuple(dialect for dialect in Dialect if dialect.generates)
CHAT, RESPONSES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES
MESSAGES, CONTENTS = Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI_GENERATE_CONTENT
SAYS_WRITES = {CHAT, RESPONSES, MESSAGES}
"""Dialects that tell what was written to a cache."""
KEEPS_UNKNOWN = {CHAT, MESSAGES}
"""Dialects that may leave out a detail; elsewhere it must be there, or its absence means zero."""


def sizes(random: Random) -> tuple[int, int, int, int, int]:
    """Fresh input, read, written, visible output, thoughts."""
    draw = [random.choice((0, 0, 1, random.randrange(5), random.randrange(100_000))) for _ in range(5)]
    return draw[0], draw[1], draw[2], draw[3], draw[4]


def details(**counts: int | None) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count is not None}


def of_chat(fresh: int, read: int | None, wrote: int | None, said: int, thought: int | None) -> dict[str, Any]:
    given, generated = fresh + (read or 0) + (wrote or 0), said + (thought or 0)
    return {
        "usage": {
            "prompt_tokens": given,
            "completion_tokens": generated,
            "total_tokens": given + generated,
            "prompt_tokens_details": details(cached_tokens=read, cache_write_tokens=wrote),
            "completion_tokens_details": details(reasoning_tokens=thought),
        }
    }


def of_responses(fresh: int, read: int | None, wrote: int | None, said: int, thought: int | None) -> dict[str, Any]:
    given, generated = fresh + (read or 0) + (wrote or 0), said + (thought or 0)
    return {
        "usage": {
            "input_tokens": given,
            "output_tokens": generated,
            "total_tokens": given + generated,
            "input_tokens_details": details(cached_tokens=read, cache_write_tokens=wrote),
            "output_tokens_details": details(reasoning_tokens=thought),
        }
    }


def of_messages(fresh: int, read: int | None, wrote: int | None, said: int, thought: int | None) -> dict[str, Any]:
    counts = {"cache_read_input_tokens": read, "cache_creation_input_tokens": wrote}
    inner = None if thought is None else {"thinking_tokens": thought}
    return {
        "usage": {
            "input_tokens": fresh,
            "output_tokens": said + (thought or 0),
            "output_tokens_details": inner,
            **counts,
        }
    }


def of_contents(fresh: int, read: int | None, wrote: int | None, said: int, thought: int | None) -> dict[str, Any]:
    given = fresh + (read or 0) + (wrote or 0)
    counts = {
        "cachedContentTokenCount": read,
        "candidatesTokenCount": said,
        "thoughtsTokenCount": thought,
        "totalTokenCount": given + said + (thought or 0),
    }
    return {"usageMetadata": {"promptTokenCount": given, **{name: count for name, count in counts.items() if count}}}


REPORTS: Mapping[Dialect, Callable[..., dict[str, Any]]] = {
    CHAT: of_chat,
    RESPONSES: of_responses,
    MESSAGES: of_messages,
    CONTENTS: of_contents,
}
CROSSINGS = [(source, target) for source in GENERATING for target in GENERATING]


def rendered(usage: Usage, target: Dialect) -> dict[str, Any]:
    output = Output(index=0, parts=(TextPart(text="Hi."),), finish=Finish.STOP)
    return codec_of(target).write_answer(Answer(model="m", id="a", outputs=(output,), usage=usage), None)


def read(dialect: Dialect, value: Mapping[str, Any]) -> Usage:
    return codec_of(dialect).read_usage(value, details_default_zero=False)


@pytest.mark.parametrize("source", GENERATING)
def test_what_is_reported_is_read_in_inclusive_buckets(source: Dialect) -> None:
    random = Random(f"read {source}")
    for _ in range(DRAWN):
        fresh, cached, wrote, said, thought = sizes(random)
        usage = read(source, REPORTS[source](fresh, cached, wrote, said, thought))
        assert usage.source is UsageSource.REPORTED
        assert usage.input_tokens == fresh + cached + wrote
        assert usage.output_tokens == said + thought
        assert (usage.cache_read_tokens, usage.reasoning_tokens) == (cached, thought)
        assert usage.cache_write_tokens == (wrote if source in SAYS_WRITES else 0)
        assert usage.total_tokens == fresh + cached + wrote + said + thought


@pytest.mark.parametrize(("source", "target"), CROSSINGS)
def test_the_same_numbers_come_back_from_every_dialect(source: Dialect, target: Dialect) -> None:
    random = Random(f"{source} {target}")
    for _ in range(DRAWN):
        usage = read(source, REPORTS[source](*sizes(random)))
        again = read(target, rendered(usage, target))
        assert again.input_tokens == usage.input_tokens
        assert again.output_tokens == usage.output_tokens
        assert again.cache_read_tokens == usage.cache_read_tokens
        assert again.reasoning_tokens == usage.reasoning_tokens
        if target in SAYS_WRITES:
            assert again.cache_write_tokens == usage.cache_write_tokens


@pytest.mark.parametrize(("source", "target"), CROSSINGS)
def test_parts_are_never_larger_than_their_whole(source: Dialect, target: Dialect) -> None:
    """Also where a provider says nonsense: a part that is larger than its whole is no part of it."""
    random = Random(f"nonsense {source} {target}")
    for _ in range(DRAWN):
        report = REPORTS[source](*sizes(random))
        counts = next(iter(report.values()))
        counts[random.choice(list(counts))] = random.choice((0, 1, -1, 2.5, "7", None, True, 10**12, {}, []))
        usage = read(source, report)
        if usage == NO_USAGE:
            continue
        for each in (usage, read(target, rendered(usage, target))):
            assert each.input_tokens is not None
            assert each.output_tokens is not None
            assert each.input_tokens >= (each.cache_read_tokens or 0)
            assert each.input_tokens >= (each.cache_write_tokens or 0)
            assert each.output_tokens >= (each.reasoning_tokens or 0)


@pytest.mark.parametrize(
    ("source", "target"), [(one, other) for one in (CHAT, RESPONSES, MESSAGES) for other in GENERATING]
)
def test_what_is_unknown_is_not_told_as_zero_where_it_may_be_left_out(source: Dialect, target: Dialect) -> None:
    usage = read(source, REPORTS[source](100, None, None, 10, None))
    assert (usage.cache_read_tokens, usage.cache_write_tokens, usage.reasoning_tokens) == (None, None, None)
    again = read(target, rendered(usage, target))
    assert (again.input_tokens, again.output_tokens) == (100, 10)
    unknown = None if target in KEEPS_UNKNOWN else 0
    assert (again.cache_read_tokens, again.cache_write_tokens, again.reasoning_tokens) == (unknown,) * 3


@pytest.mark.parametrize("target", [CHAT, RESPONSES, CONTENTS])
def test_a_usage_that_nobody_knows_is_left_out(target: Dialect) -> None:
    value = rendered(NO_USAGE, target)
    assert value.get("usage") is None
    assert value.get("usageMetadata") is None
    assert read(target, value) == NO_USAGE


@pytest.mark.parametrize("target", GENERATING)
def test_totals_add_up(target: Dialect) -> None:
    random = Random(f"totals {target}")
    for _ in range(DRAWN):
        usage = read(CHAT, of_chat(*sizes(random)))
        value = rendered(usage, target)
        match value:
            case {"usage": {"total_tokens": total}}:
                assert total == usage.total_tokens
            case {"usageMetadata": counts}:  # which leaves out what is zero
                assert counts.get("totalTokenCount", 0) == usage.total_tokens
                parts = counts["promptTokenCount"] + counts.get("candidatesTokenCount", 0)
                assert parts + counts.get("thoughtsTokenCount", 0) == usage.total_tokens
            case {"usage": {"input_tokens": int(fresh), "output_tokens": int(generated)} as counts}:
                cached = counts["cache_read_input_tokens"] + counts["cache_creation_input_tokens"]
                assert fresh + cached + generated == usage.total_tokens
            case _:
                pytest.fail(f"no usage in {value}")
