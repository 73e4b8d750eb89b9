"""How much to think, in the words of one vendor for those of another.

The numbers are those of Google's OpenAI-compatible endpoint (low 1,024, medium 8,192, high 24,576 tokens).
"""

from collections.abc import Sequence

from broker.domain.caps import Caps
from broker.protocols.canonical.request import Reasoning
from broker.protocols.losses import Losses

EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")
"""In growing order."""
_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24_576}
_LOW_UP_TO = 2048
_MEDIUM_UP_TO = 8192


def budget_of(reasoning: Reasoning, caps: Caps) -> int | None:
    """Tokens to think with; `None` where the producer gives neither a budget nor an effort."""
    if reasoning.budget_tokens is not None:
        return min(reasoning.budget_tokens, caps.thinking_budget_max)
    if reasoning.effort is None:
        return None
    return min(_BUDGETS.get(reasoning.effort, caps.thinking_budget_max), caps.thinking_budget_max)


def effort_of(reasoning: Reasoning) -> str | None:
    """The effort that a budget comes nearest to, or the one that was said."""
    if reasoning.effort is not None:
        return reasoning.effort
    if reasoning.budget_tokens is None:
        return None
    if reasoning.budget_tokens <= _LOW_UP_TO:
        return "low"
    return "medium" if reasoning.budget_tokens <= _MEDIUM_UP_TO else "high"


def nearest_effort(effort: str, known: Sequence[str]) -> str:
    """The word of `known` (in growing order, not empty) that comes nearest to an effort; the lower of two as near."""
    if effort in known or effort not in EFFORTS:
        return effort if effort in known else known[len(known) // 2]
    wanted = EFFORTS.index(effort)
    return min(known, key=lambda word: abs(EFFORTS.index(word) - wanted) if word in EFFORTS else len(EFFORTS))


def openai_effort(reasoning: Reasoning, caps: Caps, losses: Losses) -> str | None:
    """The word that OpenAI's models are told for an effort or a budget; `None` where the producer gives neither.

    What it changes is noted.
    """
    effort = effort_of(reasoning)
    if effort is None:
        return None
    known = nearest_effort(effort, caps.efforts)
    if reasoning.effort is None:
        what = f"a budget of {reasoning.budget_tokens} tokens becomes the effort {known}, which comes nearest"
        losses.converted(reasoning.path, "budget_to_effort", what)
    elif known != effort:
        losses.sampling(reasoning.path, "clamped", f"the target knows no effort {effort}; {known} is nearest")
    return known
