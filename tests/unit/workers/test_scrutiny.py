"""What is believed of a success, and what is not."""

from collections.abc import Mapping

import pytest

from broker.domain.attempt import CallError, ErrorClass, Scope
from broker.domain.provider import Check
from broker.domain.usage import NO_USAGE, Usage, UsageSource
from broker.protocols.canonical.answer import Answer, Finish, Output
from broker.protocols.canonical.parts import CallPart, TextPart
from broker.protocols.canonical.request import Format, FormatKind
from workers.scrutiny import Prompt, believed, doubt

ALL = frozenset(Check)
SCHEMA: Mapping[str, object] = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}


def tokens(input_tokens: int | None, output_tokens: int | None = 5) -> Usage:
    return Usage(input_tokens=input_tokens, output_tokens=output_tokens, source=UsageSource.REPORTED)


def saying(*parts: TextPart | CallPart, finish: Finish = Finish.STOP, usage: Usage | None = None) -> Answer:
    return Answer(model="m", outputs=(Output(index=0, parts=parts, finish=finish),), usage=usage or tokens(10))


def text(words: str) -> TextPart:
    return TextPart(text=words)


def a_prompt(*, fewest: int, size: int = 100_000, expected: float = 100.0) -> Prompt:
    return Prompt(size_bytes=size, expected_tokens=expected, fewest_tokens=lambda: fewest)


def doubted(
    answer: Answer,
    *,
    checks: frozenset[Check] = ALL,
    wanted: Format | None = None,
    prompt: Prompt | None = None,
    window: int | None = None,
) -> CallError | None:
    return doubt(answer, checks, wanted=wanted, prompt=prompt, context_window=window)


def counted(number: int | None) -> Answer:
    return saying(text("ok"), usage=tokens(number))


@pytest.mark.parametrize(
    ("number", "fewest", "cut"),
    [
        (4096, 10_000, True),
        (799, 1000, True),
        (800, 1000, False),
        (1300, 1000, False),
        (36, 100, True),
        (37, 100, False),
    ],
)
def test_a_prompt_is_cut_when_clearly_fewer_tokens_were_counted_than_it_has_words(
    number: int, fewest: int, *, cut: bool
) -> None:
    error = doubted(counted(number), prompt=a_prompt(fewest=fewest))
    assert (error is not None) == cut
    if error is not None:
        assert (error.error_class, error.scope, error.code) == (ErrorClass.TOO_LARGE, Scope.OTHER, "prompt_cut")
        assert error.usage == tokens(number), "it was generated, and may have to be paid for"
        assert f"counted {number} tokens of a prompt of at least {fewest}" in error.message


def test_the_words_are_not_looked_at_without_a_reason() -> None:
    def never() -> int:
        raise AssertionError

    prompt = Prompt(size_bytes=5000, expected_tokens=9000.0, fewest_tokens=never)
    assert doubted(counted(1000), prompt=prompt) is None


@pytest.mark.parametrize(
    ("number", "generated", "cut"),
    [(4096, 1, True), (4096, None, False), (4092, 5, True), (4090, 6, False), (4080, 17, True), (4079, 500, False)],
)
def test_a_prompt_that_leaves_no_room_for_its_answer_was_cut(number: int, generated: int | None, *, cut: bool) -> None:
    answer = saying(text("ok"), usage=tokens(number, generated))
    prompt = a_prompt(fewest=0)
    assert (doubted(answer, prompt=prompt, window=4096) is not None) == cut
    assert doubted(answer, prompt=prompt) is None, "without a window nobody can tell"


@pytest.mark.parametrize(
    ("number", "expected", "cut"),
    [
        (2048, 4600.0, True),
        (2050, 4600.0, True),
        (2056, 4600.0, True),
        (2050, 4500.0, False),
        (2047, 4600.0, False),
        (2057, 4600.0, False),
        (3000, 9000.0, False),
    ],
)
def test_half_a_window_is_what_some_servers_cut_to(number: int, expected: float, *, cut: bool) -> None:
    prompt = a_prompt(fewest=0, expected=expected)
    assert (doubted(counted(number), prompt=prompt, window=4096) is not None) == cut
    assert doubted(counted(number), prompt=prompt) is None, "without a window nobody can tell"


def test_many_texts_to_embed_may_be_longer_together_than_the_window() -> None:
    answer = Answer(model="m", outputs=(), embeddings=((0.1,),), usage=tokens(4096, 5))
    assert doubted(answer, prompt=a_prompt(fewest=0, expected=5600.0), window=4096) is None
    assert doubted(answer, prompt=a_prompt(fewest=9000, expected=5600.0), window=4096) is not None


def test_a_prompt_is_not_judged_without_a_count_or_without_words_or_unasked() -> None:
    cut = a_prompt(fewest=10_000)
    assert doubted(counted(None), prompt=cut, window=4096) is None
    assert doubted(counted(5), prompt=None, window=4096) is None
    assert doubted(counted(5), checks=ALL - {Check.TRUNCATION}, prompt=cut) is None
    assert doubted(counted(5), checks=frozenset({Check.TRUNCATION}), prompt=cut) is not None


def call(arguments: Mapping[str, object] | None, *, custom: bool = False) -> CallPart:
    return CallPart(id="c", name="look", arguments=arguments, arguments_text="?", custom=custom)


@pytest.mark.parametrize(
    ("part", "finish", "broken"),
    [
        (call(None), Finish.TOOL_CALLS, True),
        (call(None), Finish.STOP, True),
        (call(None), Finish.LENGTH, False),
        (call(None), Finish.CONTEXT_WINDOW, False),
        (call({}), Finish.TOOL_CALLS, False),
        (call({"a": 1}), Finish.TOOL_CALLS, False),
        (call(None, custom=True), Finish.TOOL_CALLS, False),
    ],
)
def test_arguments_must_be_an_object_unless_they_were_cut_at_a_limit(
    part: CallPart, finish: Finish, *, broken: bool
) -> None:
    error = doubted(saying(text("x"), call({}), part, finish=finish))
    assert (error is not None) == broken
    assert doubted(saying(part, finish=finish), checks=ALL - {Check.TOOL_ARGUMENTS}) is None
    if error is not None:
        assert (error.error_class, error.scope) == (ErrorClass.MALFORMED_ANSWER, Scope.SAME)
        assert "look" in error.message


OBJECT = Format(kind=FormatKind.JSON_OBJECT)
FOLLOWED = Format(kind=FormatKind.JSON_SCHEMA, schema=SCHEMA)


@pytest.mark.parametrize(
    ("wanted", "words", "fits"),
    [
        (None, "prose", True),
        (Format(kind=FormatKind.TEXT), "prose", True),
        (OBJECT, '{"b": 1}', True),
        (OBJECT, " \n{}\n ", True),
        (OBJECT, "[]", False),
        (OBJECT, "prose", False),
        (OBJECT, "", False),
        (OBJECT, '```json\n{"a": 1}\n```', False),
        (OBJECT, '{"a": "two\nlines"}', False),
        (OBJECT, r'{"a": "\ud83d"}', True),
        (OBJECT, '{"a": 1' + "0" * 40 + "}", True),
        (FOLLOWED, '{"a": 1}', True),
        (FOLLOWED, '{"a": 1.0}', True),
        (FOLLOWED, '{"a": 1' + "0" * 40 + "}", True),
        (FOLLOWED, '{"a": "1"}', False),
        (FOLLOWED, '{"a": 1, "b": 2}', False),
        (FOLLOWED, "{}", False),
        (FOLLOWED, "[" * 5000, False),
        (Format(kind=FormatKind.JSON_SCHEMA), '"anything"', True),
        (Format(kind=FormatKind.JSON_SCHEMA), "prose", False),
    ],
)
def test_an_answer_must_have_the_form_that_was_asked_for(wanted: Format | None, words: str, *, fits: bool) -> None:
    error = doubted(saying(text(words)), wanted=wanted)
    assert (error is None) == fits
    assert doubted(saying(text(words)), wanted=wanted, checks=ALL - {Check.SCHEMA}) is None
    if error is not None:
        assert (error.error_class, error.scope) == (ErrorClass.MALFORMED_ANSWER, Scope.SAME)
        assert error.usage == tokens(10)


@pytest.mark.parametrize("finish", [Finish.LENGTH, Finish.TOOL_CALLS, Finish.REFUSAL, Finish.CONTENT_FILTER])
def test_an_answer_that_is_not_whole_has_no_form(finish: Finish) -> None:
    assert doubted(saying(text("I am sorr"), finish=finish), wanted=FOLLOWED) is None


def test_each_of_several_answers_is_looked_at() -> None:
    good, bad = (
        Output(index=0, parts=(text('{"a": 1}'),), finish=Finish.STOP),
        Output(index=0, parts=(text("no"),), finish=Finish.STOP),
    )
    assert doubted(Answer(model="m", outputs=(good, good), usage=tokens(10)), wanted=FOLLOWED) is None
    assert doubted(Answer(model="m", outputs=(good, bad), usage=tokens(10)), wanted=FOLLOWED) is not None


def test_a_form_may_be_in_several_parts() -> None:
    assert doubted(saying(text('{"a"'), text(": 1}")), wanted=FOLLOWED) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "strin"},
        {"$ref": "https://example.com/never-fetched.json"},
        {"type": "string", "pattern": "("},
        {"$schema": "http://json-schema.org/draft-07/schema#", "type": "string", "format": "email"},
        {"type": "string", "format": "uuid"},
    ],
)
def test_a_schema_that_no_server_can_hold_condemns_nothing(schema: Mapping[str, object]) -> None:
    """It is wrong itself, or points elsewhere, or has formats, which are remarks."""
    wanted = Format(kind=FormatKind.JSON_SCHEMA, schema=schema)
    assert doubted(saying(text('"word"')), wanted=wanted) is None


@pytest.mark.parametrize(
    ("usage", "kept"),
    [
        (tokens(10, 5), True),
        (tokens(0, 5), False),
        (tokens(10, 0), False),
        (tokens(0, 0), False),
        (tokens(None, 5), True),
        (NO_USAGE, True),
    ],
)
def test_words_that_took_no_tokens_were_not_counted(usage: Usage, *, kept: bool) -> None:
    answer = saying(text("ok"), usage=usage)
    found = believed(answer, ALL)
    assert found.usage == (usage if kept else NO_USAGE)
    assert ("usage_missing" in found.notes) == (not kept)
    assert believed(answer, ALL - {Check.USAGE}) is answer


def test_silence_may_take_no_tokens() -> None:
    silent = saying(usage=tokens(10, 0))
    assert believed(silent, ALL) is silent
    vectors = Answer(model="m", outputs=(), embeddings=((0.1,),), usage=tokens(0, None))
    assert believed(vectors, ALL) is vectors
