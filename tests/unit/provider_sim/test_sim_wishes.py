"""When an answer is a call, when it is JSON, and when it is the plain text."""

from typing import Any

import pytest

from workers.provider_sim.answers import expected_arguments, expected_text
from workers.provider_sim.wishes import USE_A_TOOL, Answer, Choice, Tool, Wish, answer_to

SCHEMA: Any = {"type": "object", "properties": {"a": {"type": "string"}}}
F, G = Tool(name="f", schema=SCHEMA), Tool(name="g", schema=None)


def called(prompt: str, **wish: Any) -> list[str]:
    answer = answer_to(prompt, Wish(tools=(F, G), **wish))
    return [] if answer is None else [call.name for call in answer.calls]


@pytest.mark.parametrize(
    ("prompt", "wish", "names"),
    [
        ("hello", {}, []),
        (USE_A_TOOL, {}, ["f"]),
        (USE_A_TOOL, {"has_results": True}, []),
        (USE_A_TOOL, {"choice": Choice(mode="none")}, []),
        (USE_A_TOOL, {"choice": Choice(names=("g",))}, ["g"]),
        ("hello", {"choice": Choice(mode="required")}, ["f"]),
        ("hello", {"choice": Choice(mode="required"), "has_results": True}, ["f"]),
        ("hello", {"choice": Choice(mode="required", names=("g",))}, ["g"]),
        (f"{USE_A_TOOL} twice", {}, ["f", "f"]),
        (f"{USE_A_TOOL} twice", {"may_be_parallel": False}, ["f"]),
        (USE_A_TOOL, {"wants_json": True}, ["f"]),
    ],
)
def test_a_tool_is_called_when_it_must_be_or_the_prompt_says_so(
    prompt: str, wish: dict[str, Any], names: list[str]
) -> None:
    assert called(prompt, **wish) == names


def test_calls_carry_the_same_arguments_as_object_and_as_text() -> None:
    answer = answer_to(USE_A_TOOL, Wish(tools=(F,)))
    assert answer is not None
    assert answer.calls[0].arguments == expected_arguments(USE_A_TOOL, SCHEMA)
    assert answer.calls[0].text == f'{{"a":"{expected_text(USE_A_TOOL)}"}}'


def test_json_is_said_as_text() -> None:
    said = answer_to("p", Wish(wants_json=True, schema=SCHEMA))
    assert said == Answer(text=f'{{"a":"{expected_text("p")}"}}')
