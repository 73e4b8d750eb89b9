"""What a model takes, as far as a translation must know it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any


class ThinkingForm(StrEnum):
    """How a model is told how much to think."""

    NONE = "none"
    """It does not think, or nobody can tell it how much."""
    EFFORT = "effort"
    """By a word: OpenAI's `reasoning_effort`."""
    BUDGET = "budget"
    """By a number of tokens: Anthropic up to 4.5, Gemini 2.5."""
    ADAPTIVE = "adaptive"
    """As it likes, with an effort: Anthropic from 4.6 on."""
    LEVEL = "level"
    """By Gemini 3's `thinkingLevel`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """Facts about one model at one provider; `Codec.caps` has what is assumed of a model that nobody knows."""

    sampling: bool = True
    """Takes temperature, top_p and the like."""
    temperature_max: float = 2.0
    temperature_with_top_p: bool = True
    """Takes both at once."""
    penalties: bool = True
    seed: bool = True
    logprobs: bool = True
    stop: bool = True
    """Takes stop sequences."""
    choices: bool = True
    """Gives several answers to one call."""
    thinking: ThinkingForm = ThinkingForm.NONE
    efforts: tuple[str, ...] = ("minimal", "low", "medium", "high")
    """Words that it knows, in growing order."""
    thinking_off: bool = True
    """Thinking can be switched off."""
    thinking_budget_max: int = 24_576
    """Tokens; what `xhigh` and `max` stand for."""
    mid_system: bool = True
    """Takes operator messages in mid-conversation."""
    prefill: bool = False
    """Continues an assistant message that stands last."""
    images: bool = True
    documents: bool = True
    audio: bool = True
    structured_output: bool = True
    """Follows a JSON schema."""
    strict_tools: bool = True
    """Takes `strict` on a tool."""
    cache_marks: bool = False
    """Takes explicit cache marks."""
    max_output_tokens: int | None = None
    """The most that it generates: what is asked for where the protocol demands a limit and the producer gives none."""
    anthropic_version: str | None = None
    """The only API version that it is served under."""
    identity: bool = False
    """OpenAI: takes `safety_identifier` and `service_tier`, which many compatible servers refuse."""
    output_limit_field: str = "max_completion_tokens"
    """OpenAI chat: the field that caps the answer."""
    structured_output_field: str = "response_format"
    """OpenAI chat: the field that takes a JSON schema; vLLM also has `structured_outputs`, formerly `guided_json`."""
    system_role: str = "system"
    """OpenAI chat: `system` or `developer`."""
    schema_field: str = "responseJsonSchema"
    """Gemini: the field that takes a JSON schema; old models know `responseSchema` only."""

    def amended(self, facts: Mapping[str, object]) -> "Caps":
        """The same but for what is known better; `facts` are as `facts_of_caps` gives them."""
        return replace(self, **facts)  # type: ignore[arg-type]  # each was checked where it was read


def facts_of_caps(entry: Mapping[str, Any]) -> dict[str, object]:
    """Read fields of `Caps` as configuration files spell them; raises `ValueError` for what is none."""
    known = {fact.name: type(fact.default) for fact in fields(Caps)}
    read = dict(entry)
    for name, value in entry.items():
        if name not in known:
            raise ValueError(f"{name} is no fact of a model; known are {', '.join(sorted(known))}")
        if name == "thinking":
            read[name] = ThinkingForm(value)
        elif name == "efforts":
            read[name] = tuple(value)
        elif known[name] is bool and not isinstance(value, bool):
            raise ValueError(f"{name} must be true or false")
    return read
