"""Answers as OpenAI's chat would have given them."""

from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from broker.domain.usage import NO_USAGE
from broker.protocols.canonical.answer import Answer, Finish, Output
from broker.protocols.canonical.parts import CallPart, Part, ReasoningPart, RefusalPart, TextPart
from broker.protocols.openai_chat.write_answer import write_answer


def choice(*parts: Part, finish: Finish = Finish.STOP) -> Any:
    """The choice that an answer of these parts becomes."""
    written = write_answer(
        Answer(model="m", usage=NO_USAGE, outputs=(Output(index=0, parts=parts, finish=finish),)), None
    )
    return ChatCompletion.model_validate(written).choices[0]


@pytest.mark.parametrize("parts", [(), (ReasoningPart(text="Hm."),)])
def test_what_declines_without_a_word_does_not_look_like_an_empty_answer(parts: tuple[Part, ...]) -> None:
    told = choice(*parts, finish=Finish.REFUSAL)
    assert (told.finish_reason, told.message.refusal, told.message.content) == ("content_filter", None, "")


@pytest.mark.parametrize("part", [TextPart(text="I will not."), RefusalPart(text="I will not.")])
def test_what_declines_in_words_is_told_by_them(part: Part) -> None:
    told = choice(part, finish=Finish.REFUSAL)
    assert (told.finish_reason, told.message.refusal, told.message.content) == ("stop", "I will not.", None)


def test_every_other_end_is_told_by_its_own_word() -> None:
    call = CallPart(id="c", name="f", arguments={}, arguments_text="{}")
    assert choice(TextPart(text="a"), finish=Finish.STOP).finish_reason == "stop"
    assert choice(call, finish=Finish.TOOL_CALLS).finish_reason == "tool_calls"
    assert choice(TextPart(text="a"), finish=Finish.PAUSE).finish_reason == "length"
    assert choice(finish=Finish.CONTENT_FILTER).finish_reason == "content_filter"
