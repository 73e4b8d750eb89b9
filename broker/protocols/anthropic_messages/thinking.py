"""How much to think, read and written.

Sources: Anthropic guides "Extended thinking", "Adaptive thinking" and "Effort".
"""

from dataclasses import dataclass
from typing import assert_never

from broker.domain.caps import Caps, ThinkingForm
from broker.domain.loss import LossClass
from broker.protocols.canonical.parts import ResultPart
from broker.protocols.canonical.request import Reasoning, Request, Role, Thinking, Unmapped
from broker.protocols.fields import Object, an_object, string, unknown, whole
from broker.protocols.losses import Losses, MalformedRequest
from broker.protocols.reasoning import budget_of, effort_of, nearest_effort

PATH = "/thinking"
EFFORT_PATH = "/output_config/effort"
LEAST_BUDGET = 1024
_KEYS = frozenset({"type", "budget_tokens", "display"})
_SUMMARY = {"summarized": True, "omitted": False}
_DISPLAY = {True: "summarized", False: "omitted"}
# Of what an answer may take, the share that is left for the answer where only an effort was said: the most that a
# budget may take would leave one token.
_SHARE_OF_ANSWER = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenThinking:
    """What a request says of thinking."""

    config: dict[str, object] | None = None
    effort: str | None = None

    @property
    def thinks(self) -> bool:
        """Whether it asks to think, which sampling must heed."""
        return self.config is not None and self.config["type"] != "disabled"


NOT_SAID = WrittenThinking()


def read_reasoning(body: Object, unmapped: list[Unmapped]) -> Reasoning | None:
    """Read `thinking` and `output_config.effort`; raises `MalformedRequest`."""
    effort = string(an_object(body, "output_config") or {}, "effort", "/output_config")
    config = an_object(body, "thinking")
    if config is None:
        return None if effort is None else Reasoning(mode=Thinking.ON, effort=effort, path=EFFORT_PATH)
    unmapped += unknown(config, _KEYS, PATH)
    summary = _SUMMARY.get(string(config, "display", PATH) or "")
    match config.get("type"):
        case "adaptive" if effort is not None:
            return Reasoning(mode=Thinking.ON, effort=effort, summary=summary, path=EFFORT_PATH)
        case "adaptive":
            return Reasoning(mode=Thinking.AUTO, summary=summary, path=PATH)
        case "enabled":
            budget = whole(config, "budget_tokens", PATH)
            if budget is None:
                raise MalformedRequest(f"{PATH}/budget_tokens", "is missing")
            reasoning = Reasoning(mode=Thinking.ON, budget_tokens=budget, summary=summary, path=PATH)
        case "disabled" | "between_tools":
            reasoning = Reasoning(mode=Thinking.OFF, path=PATH)
        case _:
            raise MalformedRequest(f"{PATH}/type", "must be enabled, adaptive, disabled or between_tools")
    if effort is not None:
        what = "an effort beside what thinking is told otherwise"
        unmapped.append(
            Unmapped(path=EFFORT_PATH, code="unsupported_field", detail=what, loss_class=LossClass.SAMPLING)
        )
    return reasoning


def write_thinking(
    request: Request, *, max_tokens: int, tool_forced: bool, caps: Caps, losses: Losses
) -> WrittenThinking:
    """Say how much to think, as far as the model and the rest of the request allow."""
    reasoning = request.reasoning
    if reasoning is None:
        return NOT_SAID
    match caps.thinking:
        case ThinkingForm.NONE:
            if reasoning.mode is not Thinking.OFF:
                losses.sampling(reasoning.path, "unsupported_field", "the target cannot be told how much to think")
            return NOT_SAID
        case ThinkingForm.BUDGET:
            return _by_budget(request, reasoning, max_tokens=max_tokens, tool_forced=tool_forced, caps=caps, to=losses)
        case ThinkingForm.ADAPTIVE:
            return _adaptive(reasoning, tool_forced=tool_forced, caps=caps, losses=losses)
        case ThinkingForm.EFFORT | ThinkingForm.LEVEL:
            return _by_effort(reasoning, caps, losses)
        case _:
            assert_never(caps.thinking)


def _by_budget(
    request: Request, reasoning: Reasoning, *, max_tokens: int, tool_forced: bool, caps: Caps, to: Losses
) -> WrittenThinking:
    if reasoning.mode is Thinking.OFF:
        return NOT_SAID
    obstacle = None
    if tool_forced:
        obstacle = "the target does not think where a tool is forced; the choice stays"
    elif max_tokens <= LEAST_BUDGET:
        obstacle = f"the target thinks with {LEAST_BUDGET} tokens at least, and the limit leaves no more"
    elif request.turns and any(isinstance(part, ResultPart) for part in request.turns[-1].parts):
        obstacle = "the target does not begin to think between a call and its answer, without its thoughts so far"
    elif request.turns and request.turns[-1].role is Role.ASSISTANT:
        obstacle = "the target does not think before an answer that has begun already"
    if obstacle is not None:
        to.sampling(reasoning.path, "thinking_dropped", obstacle)
        return NOT_SAID
    config: dict[str, object] = {"type": "enabled", "budget_tokens": _budget(reasoning, max_tokens, caps, to)}
    return WrittenThinking(config=_shown(config, reasoning))


def _budget(reasoning: Reasoning, max_tokens: int, caps: Caps, losses: Losses) -> int:
    wanted = reasoning.budget_tokens
    if wanted is None:
        room = max(LEAST_BUDGET, max_tokens - max_tokens // _SHARE_OF_ANSWER)
        return min(budget_of(reasoning, caps) or budget_of(_MEDIUM, caps) or LEAST_BUDGET, room, max_tokens - 1)
    budget = max(LEAST_BUDGET, min(wanted, max_tokens - 1, caps.thinking_budget_max))
    if budget != wanted:
        what = f"the target takes a budget from {LEAST_BUDGET} to {caps.thinking_budget_max}, and below max_tokens"
        losses.sampling(reasoning.path, "clamped", what)
    return budget


_MEDIUM = Reasoning(mode=Thinking.ON, effort="medium")


def _adaptive(reasoning: Reasoning, *, tool_forced: bool, caps: Caps, losses: Losses) -> WrittenThinking:
    if reasoning.mode is Thinking.OFF:
        return _off(reasoning, caps, losses)
    effort = _effort(reasoning, caps, losses)
    if tool_forced and caps.sampling:  # 4.6, the first generation that adapts; those after it take both
        what = "the target does not think where a tool is forced; the choice stays"
        losses.sampling(reasoning.path, "thinking_dropped", what)
        return WrittenThinking(effort=effort)
    return WrittenThinking(config=_shown({"type": "adaptive"}, reasoning), effort=effort)


def _by_effort(reasoning: Reasoning, caps: Caps, losses: Losses) -> WrittenThinking:
    if reasoning.mode is Thinking.OFF:
        return _off(reasoning, caps, losses)
    return WrittenThinking(effort=_effort(reasoning, caps, losses))


def _off(reasoning: Reasoning, caps: Caps, losses: Losses) -> WrittenThinking:
    if caps.thinking_off:
        return WrittenThinking(config={"type": "disabled"})
    losses.sampling(reasoning.path, "clamped", "the target always thinks; it thinks as little as it can")
    return WrittenThinking(config={"type": "adaptive"}, effort=caps.efforts[0] if caps.efforts else None)


def _effort(reasoning: Reasoning, caps: Caps, losses: Losses) -> str | None:
    wanted = effort_of(reasoning)
    if wanted is None or not caps.efforts:
        return None
    known = nearest_effort(wanted, caps.efforts)
    if reasoning.budget_tokens is not None:
        what = f"a budget of {reasoning.budget_tokens} tokens becomes the effort {known}, which comes nearest"
        losses.converted(reasoning.path, "budget_to_effort", what)
    elif wanted == "minimal" and known == "low":
        losses.converted(reasoning.path, "effort_renamed", "the least effort is called low")
    elif known != wanted:
        losses.sampling(reasoning.path, "clamped", f"the target knows no effort {wanted}; {known} is nearest")
    return known


def _shown(config: dict[str, object], reasoning: Reasoning) -> dict[str, object]:
    if reasoning.summary is not None:
        config["display"] = _DISPLAY[reasoning.summary]
    return config
