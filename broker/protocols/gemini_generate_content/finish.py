"""Why the model stopped, in Gemini's words and in ours."""

from typing import assert_never

from broker.protocols.canonical.answer import Finish

MALFORMED = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
    }
)
"""Ends that leave no answer: the model broke its own form."""

_FINISHES = {
    "STOP": Finish.STOP,
    "MAX_TOKENS": Finish.LENGTH,
    "CONTINUATION": Finish.PAUSE,
    **dict.fromkeys(
        (
            *("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "MODEL_ARMOR"),
            *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER", "JAILBREAK"),
        ),
        Finish.CONTENT_FILTER,
    ),
}


def read_finish(reason: str, *, calls: bool) -> Finish:
    """The canonical reason; calls beat a bare stop, and nothing else."""
    finish = _FINISHES.get(reason, Finish.OTHER)
    return Finish.TOOL_CALLS if calls and finish is Finish.STOP else finish


def write_finish(finish: Finish) -> str:
    """The reason that Gemini would have given."""
    match finish:
        case Finish.STOP | Finish.STOP_SEQUENCE | Finish.TOOL_CALLS:
            return "STOP"
        case Finish.LENGTH | Finish.CONTEXT_WINDOW:
            return "MAX_TOKENS"
        case Finish.REFUSAL | Finish.CONTENT_FILTER:
            return "SAFETY"
        case Finish.PAUSE:
            return "CONTINUATION"
        case Finish.OTHER:
            return "OTHER"
        case _:
            assert_never(finish)
