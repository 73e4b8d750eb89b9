"""How much to think: `thinkingConfig`, read and written.

Source: Gemini API guide "Thinking": Gemini 2.5 takes a budget of tokens, Gemini 3 and later a level, none both.
"""

from typing import assert_never

from broker.domain.caps import Caps, ThinkingForm
from broker.protocols.canonical.request import Reasoning, Thinking, Unmapped
from broker.protocols.gemini_generate_content.proto_json import Message
from broker.protocols.losses import Losses, MalformedRequest
from broker.protocols.reasoning import EFFORTS, budget_of, effort_of, nearest_effort

_CONFIG = frozenset({"includeThoughts", "thinkingBudget", "thinkingLevel"})
_AS_LIKED = -1
_LEAST_BUDGET = 128
"""Of models that cannot be told not to think."""


def read_thinking(config: Message, unmapped: list[Unmapped]) -> Reasoning | None:
    """Read `thinkingConfig` out of a `generationConfig`; raises `MalformedRequest`."""
    thinking = config.message("thinkingConfig")
    if thinking is None:
        return None
    unmapped += thinking.unknown(_CONFIG)
    summary = thinking.flag("includeThoughts")
    budget = thinking.whole("thinkingBudget")
    level = thinking.enum("thinkingLevel")
    path = thinking.path
    if level is not None:
        if budget is not None:
            raise MalformedRequest(thinking.at("thinkingLevel"), "stands beside thinkingBudget; only one may be set")
        effort = level.lower().removeprefix("thinking_level_")
        if effort not in EFFORTS:
            raise MalformedRequest(thinking.at("thinkingLevel"), f"must be one of {', '.join(EFFORTS[:-1]).upper()}")
        return Reasoning(mode=Thinking.ON, effort=effort, summary=summary, path=path)
    if budget is None:
        return None if summary is None else Reasoning(mode=Thinking.AUTO, summary=summary, path=path)
    if budget < _AS_LIKED:
        raise MalformedRequest(thinking.at("thinkingBudget"), "must be at least -1")
    if budget == _AS_LIKED:
        return Reasoning(mode=Thinking.AUTO, summary=summary, path=path)
    if budget == 0:
        return Reasoning(mode=Thinking.OFF, summary=summary, path=path)
    return Reasoning(mode=Thinking.ON, budget_tokens=budget, summary=summary, path=path)


def write_thinking(reasoning: Reasoning, caps: Caps, losses: Losses) -> dict[str, object]:
    """Write `thinkingConfig`; empty where there is nothing to say."""
    match caps.thinking:
        case ThinkingForm.NONE:
            if reasoning.mode is Thinking.ON:
                what = "the target cannot be told how much to think"
                losses.sampling(reasoning.path, "unsupported_field", what)
            elif reasoning.summary:
                losses.hint(reasoning.path, "summary_dropped", "the target shows no thoughts")
            return {}
        case ThinkingForm.BUDGET:
            config = _budget(reasoning, caps, losses)
        case ThinkingForm.LEVEL | ThinkingForm.EFFORT | ThinkingForm.ADAPTIVE:
            config = _level(reasoning, caps, losses)
        case _:
            assert_never(caps.thinking)
    if reasoning.summary:
        config["includeThoughts"] = True
    return config


def _budget(reasoning: Reasoning, caps: Caps, losses: Losses) -> dict[str, object]:
    match reasoning.mode:
        case Thinking.OFF:
            if caps.thinking_off:
                return {"thinkingBudget": 0}
            losses.sampling(reasoning.path, "clamped", "the target always thinks; it thinks as little as it can")
            return {"thinkingBudget": _LEAST_BUDGET}
        case Thinking.AUTO:
            return {"thinkingBudget": _AS_LIKED}
        case Thinking.ON:
            wanted = reasoning.budget_tokens
            if wanted is not None and wanted > caps.thinking_budget_max:
                what = f"the target thinks with up to {caps.thinking_budget_max} tokens"
                losses.sampling(reasoning.path, "clamped", what)
            budget = budget_of(reasoning, caps)
            return {} if budget is None else {"thinkingBudget": budget}
        case _:
            assert_never(reasoning.mode)


def _level(reasoning: Reasoning, caps: Caps, losses: Losses) -> dict[str, object]:
    match reasoning.mode:
        case Thinking.OFF:
            least = caps.efforts[0] if caps.efforts else "low"
            losses.sampling(reasoning.path, "clamped", f"the target always thinks; {least} is the least it can")
            return {"thinkingLevel": least.upper()}
        case Thinking.AUTO:
            return {}
        case Thinking.ON:
            effort = effort_of(reasoning)
            if effort is None or not caps.efforts:
                return {}
            level = nearest_effort(effort, caps.efforts)
            if reasoning.effort is None:
                what = f"a budget of {reasoning.budget_tokens} tokens is said as the level {level}"
                losses.converted(reasoning.path, "budget_to_effort", what)
            elif level != effort:
                losses.sampling(reasoning.path, "clamped", f"the target knows no effort {effort}; {level} is nearest")
            return {"thinkingLevel": level.upper()}
        case _:
            assert_never(reasoning.mode)
