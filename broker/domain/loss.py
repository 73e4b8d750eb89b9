"""What a translation cannot carry over, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class OnLoss(StrEnum):
    """What a batch says of losses that matter."""

    FAIL = "fail"
    """The request is refused before any call."""
    DROP = "drop"
    """It is sent without what is lost, and the loss is recorded with the result."""


class LossClass(StrEnum):
    """How much a loss matters."""

    HINT = "hint"
    """May always be dropped: cache marks, user ids, metadata, image detail, foreign reasoning."""
    SAMPLING = "sampling"
    """Changes how the answer is made: seed, penalties, a clamped temperature. `OnLoss` decides."""
    SEMANTIC = "semantic"
    """Said in other words, and nothing is lost: a system message in mid-conversation, a mapped tool name."""
    CONTENT = "content"
    """Part of the question: a foreign file, an earlier response. Refused, but for a few that `OnLoss` decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """One thing that a target cannot say as its source did; recorded with the result as a warning."""

    code: str
    """Stable, such as `unsupported_field`."""
    path: str
    """JSON pointer (RFC 6901) into the source body."""
    detail: str
    """For people."""
    loss_class: LossClass
