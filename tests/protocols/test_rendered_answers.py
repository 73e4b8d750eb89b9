"""Every documented answer in every dialect: of the SDK's type, and saying the same."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from broker.domain.dialect import Dialect
from broker.domain.usage import UsageSource
from broker.protocols import Answer, parse_response, render_response
from broker.protocols.canonical.answer import Finish, Output
from broker.protocols.canonical.parts import CallPart, Part, ReasoningPart, RefusalPart, TextPart
from tests.protocols.golden_matrix.oracles import check_answer

HERE = Path(__file__).parent
CHAT, RESPONSES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES
MESSAGES, CONTENTS = Dialect.ANTHROPIC_MESSAGES, Dialect.GEMINI_GENERATE_CONTENT
GENERATING = (CHAT, RESPONSES, MESSAGES, CONTENTS)
EMBEDDING = (Dialect.OPENAI_EMBEDDINGS, CONTENTS)

ENDS: dict[Finish, dict[Dialect, Finish]] = {
    Finish.STOP: {},
    Finish.STOP_SEQUENCE: {CHAT: Finish.STOP, RESPONSES: Finish.STOP, CONTENTS: Finish.STOP},
    Finish.LENGTH: {},
    Finish.CONTEXT_WINDOW: {CHAT: Finish.LENGTH, RESPONSES: Finish.LENGTH, CONTENTS: Finish.LENGTH},
    Finish.TOOL_CALLS: {},
    Finish.REFUSAL: {CONTENTS: Finish.CONTENT_FILTER},
    Finish.CONTENT_FILTER: {MESSAGES: Finish.REFUSAL},
    Finish.PAUSE: {},
    Finish.OTHER: {CHAT: Finish.STOP, RESPONSES: Finish.STOP},
}
"""What an end is called elsewhere, where the dialect has no word of its own."""
UNSPEAKABLE = {(Finish.PAUSE, CHAT), (Finish.PAUSE, RESPONSES), (Finish.OTHER, MESSAGES)}
"""Ends for which a dialect has no word at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Documented:
    dialect: Dialect
    name: str
    body: dict[str, Any]


def documented() -> list[Documented]:
    found = []
    for dialect in Dialect:
        for path in sorted((HERE / "golden_answers" / dialect).glob("*.json")):
            entry = json.loads(path.read_text("utf-8"))
            assert (entry["name"], entry["status"], bool(entry["source"])) == (path.stem, 200, True)
            found.append(Documented(dialect=dialect, name=path.stem, body=entry["body"]))
    return found


def read(dialect: Dialect, body: Any) -> Answer | None:
    answer = parse_response(dialect, 200, {}, json.dumps(body).encode(), details_default_zero=dialect is MESSAGES)
    return answer if isinstance(answer, Answer) else None


ANSWERS = [(each, answer) for each in documented() if (answer := read(each.dialect, each.body)) is not None]
PAIRS = [
    (each, answer, target) for each, answer in ANSWERS for target in (EMBEDDING if answer.embeddings else GENERATING)
]


def as_cases(pairs: list[tuple[Documented, Answer, Dialect]]) -> list[Any]:
    return [
        pytest.param(each, answer, target, id=f"{each.dialect}-{each.name} as {target}")
        for each, answer, target in pairs
    ]


RENDERINGS = as_cases(PAIRS)


def words(parts: tuple[Part, ...]) -> str:
    return "".join(part.text for part in parts if isinstance(part, TextPart | RefusalPart))


def calls(output: Output, *, ids: bool) -> list[Any]:
    """Names and arguments; what is no object is wrapped, where the dialect takes objects only."""
    return [
        (
            part.name,
            {"_raw": part.arguments_text} if part.arguments is None else part.arguments,
            part.id if ids else None,
        )
        for part in output.parts
        if isinstance(part, CallPart)
    ]


@pytest.mark.parametrize(("given", "answer", "target"), RENDERINGS)
def test_a_rendered_answer_is_of_the_sdks_type(given: Documented, answer: Answer, target: Dialect) -> None:
    written = render_response(answer, dialect=target)
    check_answer(target, written, vectors=bool(answer.embeddings))
    assert render_response(read(given.dialect, given.body) or answer, dialect=target) == written


def can_be_said(answer: Answer, target: Dialect) -> bool:
    """Whether a producer of this dialect could have asked for it, and the dialect has a word for its end."""
    if len(answer.outputs) > 1 and target in (MESSAGES, RESPONSES):
        return False
    return not any((output.finish, target) in UNSPEAKABLE for output in answer.outputs)


@pytest.mark.parametrize(("given", "answer", "target"), as_cases([pair for pair in PAIRS if can_be_said(*pair[1:])]))
def test_a_rendered_answer_says_the_same(given: Documented, answer: Answer, target: Dialect) -> None:
    again = read(target, render_response(answer, dialect=target))
    assert again is not None, f"{given.name} is no answer any more"
    assert again.embeddings == answer.embeddings
    assert len(again.outputs) == len(answer.outputs)
    for ours, theirs in zip(answer.outputs, again.outputs, strict=True):
        assert words(theirs.parts) == words(ours.parts)
        assert calls(theirs, ids=True) == calls(ours, ids=True)
        assert theirs.finish is ENDS[ours.finish].get(target, ours.finish)
        assert theirs.index == ours.index


@pytest.mark.parametrize(("given", "answer", "target"), RENDERINGS)
def test_thoughts_are_never_told_as_text(given: Documented, answer: Answer, target: Dialect) -> None:
    again = read(target, render_response(answer, dialect=target))
    thoughts = [part.text for output in answer.outputs for part in output.parts if isinstance(part, ReasoningPart)]
    for output in again.outputs if again is not None else ():
        assert not [text for text in thoughts if text and text in words(output.parts)], given.name


@pytest.mark.parametrize(("given", "answer", "target"), RENDERINGS)
def test_the_usage_is_the_same_everywhere(given: Documented, answer: Answer, target: Dialect) -> None:
    usage = answer.usage
    again = read(target, render_response(answer, dialect=target))
    if again is None or usage.source is not UsageSource.REPORTED:
        return
    assert again.usage.input_tokens == usage.input_tokens, given.name
    assert again.usage.output_tokens == usage.output_tokens
    assert again.notes == ()
    if usage.cache_read_tokens is not None and not answer.embeddings:
        assert again.usage.cache_read_tokens == usage.cache_read_tokens
    if usage.reasoning_tokens is not None and not answer.embeddings:
        assert (again.usage.reasoning_tokens or 0) == usage.reasoning_tokens


def test_there_is_enough_material() -> None:
    names = [each.dialect for each, _ in ANSWERS]
    assert all(
        names.count(dialect) >= least
        for dialect, least in {CHAT: 20, RESPONSES: 10, MESSAGES: 10, CONTENTS: 10}.items()
    )
    assert names.count(Dialect.OPENAI_EMBEDDINGS) >= 5
    ends = {output.finish for _, answer in ANSWERS for output in answer.outputs}
    assert ends >= {Finish.STOP, Finish.LENGTH, Finish.TOOL_CALLS, Finish.REFUSAL, Finish.CONTENT_FILTER, Finish.PAUSE}
