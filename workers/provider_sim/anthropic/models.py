"""What models of Anthropic take and refuse, by their names; a name that tells no version is taken for the newest."""

import re

_NAME = re.compile(r"claude-(?P<family>opus|sonnet|haiku)-(?P<major>\d)(?:-(?P<minor>\d{1,2}))?(?!\d)")
_OLD = re.compile(r"claude-(?:[123]|instant)")
_NEWEST = (99, 0)


def takes_sampling(model: str) -> bool:
    """Whether temperature, top_p and top_k may be given: before 4.7."""
    return _version(model) < (4, 7)


def takes_prefill(model: str) -> bool:
    """Whether an answer that was begun is continued: up to the 4.5 family."""
    return _version(model) <= (4, 5)


def takes_system_turns(model: str) -> bool:
    """Whether the operator may speak within the conversation: Opus from 4.8 on."""
    return model.startswith("claude-opus-") and _version(model) >= (4, 8)


def _version(model: str) -> tuple[int, int]:
    if _OLD.match(model):
        return (3, 0)
    found = _NAME.match(model)
    return _NEWEST if found is None else (int(found["major"]), int(found["minor"] or 0))
