"""What a request wants beside a text, and the answer to that: JSON under a schema, or calls of tools."""

from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from workers.provider_sim.answers import expected_arguments, expected_json, json_text

USE_A_TOOL = "use the tool"
"""What a prompt contains to be answered with a call although it need not be."""
TWICE = "twice"
"""What a prompt contains to be answered with two calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function that may be called."""

    name: str
    schema: JsonValue
    """JSON schema of its arguments; `None`: it takes none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """How free the answer is to call."""

    mode: Literal["auto", "none", "required"] = "auto"
    names: tuple[str, ...] = ()
    """Only these; empty: any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call that an answer makes."""

    name: str
    arguments: dict[str, JsonValue]
    text: str
    """The arguments as the protocols of OpenAI carry them."""
    is_broken: bool = False
    """Whether that text is no JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is said: a text or calls, never both."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What an answer should look like."""

    wants_json: bool = False
    schema: JsonValue = None
    tools: tuple[Tool, ...] = ()
    choice: Choice = Choice()
    may_be_parallel: bool = True
    has_results: bool = False
    """Whether a tool answered since the user last spoke."""
    stops: tuple[str, ...] = ()
    """Texts that end the answer."""
    shows_reasoning: bool = False
    answer: Answer | None = None
    """What is going to be said; `None`: the plain text."""


def answer_to(prompt: str, wish: Wish) -> Answer | None:
    """Return the answer that a wish gets, `None` when it is the plain text; raises `NotFollowed`."""
    tool = _called(prompt, wish)
    if tool is not None:
        times = 2 if TWICE in prompt and wish.may_be_parallel else 1
        made = [expected_arguments(prompt, tool.schema, nth) for nth in range(times)]
        return Answer(calls=tuple(ToolCall(name=tool.name, arguments=one, text=json_text(one)) for one in made))
    if wish.wants_json:
        return Answer(text=json_text(expected_json(prompt, wish.schema)))
    return None


def _called(prompt: str, wish: Wish) -> Tool | None:
    """Return the tool that the answer calls, if any."""
    choice = wish.choice
    if choice.mode == "none" or (choice.mode == "auto" and (wish.has_results or USE_A_TOOL not in prompt)):
        return None
    return next((tool for tool in wish.tools if not choice.names or tool.name in choice.names), None)
