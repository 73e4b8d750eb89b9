"""How much to think, in the words of OpenAI, OpenRouter and DeepSeek: read, and written in OpenAI's."""

from collections.abc import Iterator

from broker.domain.caps import Caps, ThinkingForm
from broker.protocols.canonical.request import Reasoning, Thinking, Unmapped
from broker.protocols.fields import Object, an_object, flag, string, unknown, whole
from broker.protocols.losses import Losses, MalformedRequest
from broker.protocols.reasoning import effort_of, openai_effort

FIELDS = frozenset({"reasoning_effort", "reasoning", "thinking"})
"""OpenAI's, OpenRouter's, DeepSeek's."""
_ROUTED_KEYS = frozenset({"enabled", "effort", "max_tokens", "exclude"})
_THINKING_KEYS = frozenset({"type", "budget_tokens"})
_NONE = "none"


def read_reasoning(body: Object, unmapped: list[Unmapped]) -> Reasoning | None:
    """Read how much to think; an effort says more than a switch. Raises `MalformedRequest`."""
    routed = _routed(body, unmapped)
    switched = _switched(body, unmapped)
    effort = string(body, "reasoning_effort")
    if effort is not None:
        return _by_effort(effort, "/reasoning_effort", None if routed is None else routed.summary)
    return routed or switched


def _by_effort(effort: str, path: str, summary: bool | None) -> Reasoning:
    if effort == _NONE:
        return Reasoning(mode=Thinking.OFF, path=path)
    return Reasoning(mode=Thinking.ON, effort=effort, summary=summary, path=path)


def _routed(body: Object, unmapped: list[Unmapped]) -> Reasoning | None:
    """OpenRouter's object. Source: OpenRouter documentation, "Reasoning tokens"."""
    wanted = an_object(body, "reasoning")
    if wanted is None:
        return None
    path = "/reasoning"
    unmapped += unknown(wanted, _ROUTED_KEYS, path)
    exclude = flag(wanted, "exclude", path)
    summary = None if exclude is None else not exclude
    effort = string(wanted, "effort", path)
    budget = whole(wanted, "max_tokens", path)
    if flag(wanted, "enabled", path) is False:
        return Reasoning(mode=Thinking.OFF, path=path)
    if effort is not None:
        return _by_effort(effort, f"{path}/effort", summary)
    if budget is not None:
        return Reasoning(mode=Thinking.ON, budget_tokens=budget, summary=summary, path=f"{path}/max_tokens")
    return Reasoning(mode=Thinking.AUTO, summary=summary, path=path)


def _switched(body: Object, unmapped: list[Unmapped]) -> Reasoning | None:
    """DeepSeek's switch, which others copied. Source: DeepSeek API documentation, "Thinking mode"."""
    wanted = an_object(body, "thinking")
    if wanted is None:
        return None
    path = "/thinking"
    unmapped += unknown(wanted, _THINKING_KEYS, path)
    budget = whole(wanted, "budget_tokens", path)
    match wanted.get("type"):
        case "disabled":
            return Reasoning(mode=Thinking.OFF, path=path)
        case "enabled" if budget is not None:
            return Reasoning(mode=Thinking.ON, budget_tokens=budget, path=path)
        case "enabled" | "adaptive" | "auto":
            return Reasoning(mode=Thinking.AUTO, path=path)
        case _:
            raise MalformedRequest(f"{path}/type", "must be enabled or disabled")


def write_reasoning(reasoning: Reasoning, caps: Caps, losses: Losses) -> Iterator[tuple[str, object]]:
    """Write how much to think as a member of the body."""
    if reasoning.summary:
        losses.hint(reasoning.path, "summary_dropped", "whether thoughts are shown is left to the target")
    if caps.thinking is ThinkingForm.NONE:
        if reasoning.mode is Thinking.ON and effort_of(reasoning) is not None:
            losses.sampling(reasoning.path, "unsupported_field", "the target cannot be told how much to think")
        return
    match reasoning.mode:
        case Thinking.AUTO:
            return
        case Thinking.OFF if caps.thinking_off:
            yield "reasoning_effort", _NONE
        case Thinking.OFF:
            losses.sampling(reasoning.path, "clamped", "the target always thinks; it thinks as little as it can")
            yield "reasoning_effort", caps.efforts[0]
        case Thinking.ON:
            effort = openai_effort(reasoning, caps, losses)
            if effort is not None:
                yield "reasoning_effort", effort
