"""Which version of its API Anthropic is to understand a request by.

`2026-10-21` refuses sampling fields, documents in assistant messages, and citations on a user's texts; `2023-06-01`
takes them, if the model does.
"""

from collections.abc import Mapping
from typing import Any

from broker.domain.caps import Caps

HEADER = "anthropic-version"
OLD = "2023-06-01"
NEW = "2026-10-21"
_SAMPLING = ("temperature", "top_p", "top_k")


def version_headers(body: Mapping[str, Any], caps: Caps) -> dict[str, str]:
    """The version header for a body of this dialect, whoever wrote it; never raises."""
    if caps.anthropic_version is not None:
        return {HEADER: caps.anthropic_version}
    return {HEADER: OLD if _needs_old(body) else NEW}


def takes_old(caps: Caps) -> bool:
    """Whether what only the old version takes may be written."""
    return caps.anthropic_version in (None, OLD)


def _needs_old(body: Mapping[str, Any]) -> bool:
    if any(body.get(name) is not None for name in _SAMPLING):
        return True
    messages = body.get("messages")
    return isinstance(messages, list) and any(map(_message_needs_old, messages))


def _message_needs_old(message: object) -> bool:
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(content, list):
        return False
    by_user = message.get("role") == "user"
    for block in content:
        if isinstance(block, dict) and (
            (by_user and block.get("type") == "text" and block.get("citations"))
            or (not by_user and block.get("type") == "document")
        ):
            return True
    return False
