"""Arguments of a call: JSON text in one dialect, an object in another, and the same numbers in both."""

from collections.abc import Mapping
from typing import cast

from broker.protocols.canonical.parts import CallPart
from broker.protocols.exact_json import exact, written
from broker.protocols.losses import Losses
from broker.protocols.splice import deeper_than

UNPARSABLE_KEY = "_raw"
_DEEPEST = 200
"""Levels of an object that can surely be written again, a few levels down in a body."""


def read_arguments(text: str) -> Mapping[str, object] | None:
    """The object that a text spells; `None` when it spells none, or one that is too deep to be said as an object.

    Blank text is no arguments at all: an empty object.
    """
    if not text or text.isspace():
        return {}
    try:
        spelled = text.encode()
        value = None if deeper_than(spelled, _DEEPEST) else exact(spelled)
    except ValueError:  # of JSON, or of half a surrogate pair
        return None
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def arguments_text(call: CallPart) -> str:
    """The arguments as JSON text: as they came, if they came as text; the free text of a custom tool is wrapped."""
    if call.custom:
        return written_arguments({UNPARSABLE_KEY: call.arguments_text})
    if call.arguments_text and not call.arguments_text.isspace():
        return call.arguments_text
    return written_arguments(call.arguments or {})


def written_arguments(arguments: Mapping[str, object]) -> str:
    """An object as JSON text."""
    return written(arguments).decode() if arguments else "{}"


def arguments_object(call: CallPart, losses: Losses) -> Mapping[str, object]:
    """The arguments as an object, for a target that takes nothing else."""
    if call.arguments is not None:
        return call.arguments
    what = f"the arguments of {call.name} are no JSON object, and the target takes nothing else"
    losses.content(call.path, "unparsable_arguments", what, droppable=True)
    return {UNPARSABLE_KEY: call.arguments_text}
