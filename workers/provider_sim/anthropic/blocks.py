"""Checks single blocks of content, as the real API does; each check raises `Refused`."""

import binascii
import re
from base64 import b64decode

from pydantic import JsonValue

from workers.provider_sim.anthropic.errors import refused

Block = dict[str, JsonValue]

_ID = re.compile(r"[a-zA-Z0-9_-]+")
_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_OF_ROLE = {
    "user": {"text", "image", "document", "tool_result", "search_result"},
    "assistant": {"text", "tool_use", "thinking", "redacted_thinking", "document"},
    "system": {"text"},
}
SIGNATURE = "c2ltdWxhdGVkLXRoaW5raW5n"
"""What stands under every thought of this simulator; it takes back no other."""


def check_block(block: JsonValue, place: str, role: str, *, is_new: bool) -> Block:
    """Return a block that is right for its role."""
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        raise refused(f"{place}.type: Field required")
    kind = str(block["type"])
    if kind not in _OF_ROLE[role] or (is_new and role == "assistant" and kind == "document"):
        expected = ", ".join(f"'{name}'" for name in sorted(_OF_ROLE[role]))
        raise refused(f"{place}: Input tag '{kind}' does not match any of the expected tags: {expected}")
    match kind:
        case "text":
            check_text(block.get("text"), place, "messages")
            _check_citations(block, place, is_refused=is_new and role == "user")
        case "image" | "document":
            _check_source(block.get("source"), f"{place}.{kind}.source", kind)
        case "tool_use":
            _check_use(block, place)
        case "tool_result":
            _check_result(block, place, is_new=is_new)
        case "thinking" | "redacted_thinking":
            _check_thought(block, place)
    return block


def check_text(text: JsonValue, place: str, where: str) -> None:
    """Check the text of a block: blank is refused."""
    if not isinstance(text, str):
        raise refused(f"{place}.text.text: Field required")
    if not text:
        raise refused(f"{where}: text content blocks must be non-empty")
    if not text.strip():
        raise refused(f"{where}: text content blocks must contain non-whitespace text")


def _check_citations(block: Block, place: str, *, is_refused: bool) -> None:
    if is_refused and block.get("citations"):
        raise refused(f"{place}.text.citations: not supported in user messages")


def _check_thought(block: Block, place: str) -> None:
    if block["type"] == "redacted_thinking":
        raise refused(f"{place}: Invalid `data` in `redacted_thinking` block")
    if block.get("signature") != SIGNATURE:
        raise refused(f"{place}: Invalid `signature` in `thinking` block")


def _check_use(block: Block, place: str) -> None:
    if not isinstance(block.get("id"), str) or not _ID.fullmatch(str(block["id"])):
        raise refused(f"{place}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
    if not isinstance(block.get("name"), str) or not block["name"]:
        raise refused(f"{place}.tool_use.name: String should have at least 1 character")
    if not isinstance(block.get("input"), dict):
        raise refused(f"{place}.tool_use.input: Input should be a valid dictionary")


def _check_result(block: Block, place: str, *, is_new: bool) -> None:
    if not isinstance(block.get("tool_use_id"), str) or not _ID.fullmatch(str(block["tool_use_id"])):
        raise refused(f"{place}.tool_result.tool_use_id: String should match pattern '^[a-zA-Z0-9_-]+$'")
    content = block.get("content")
    if content is not None and not isinstance(content, str | list):
        raise refused(f"{place}.tool_result.content: Input should be a valid string or list")
    for index, part in enumerate(content if isinstance(content, list) else ()):
        if isinstance(part, dict) and part.get("type") == "tool_result":
            raise refused(f"{place}.tool_result.content.{index}: Input tag 'tool_result' is not expected here")
        check_block(part, f"{place}.tool_result.content.{index}", "user", is_new=is_new)


def _check_source(source: JsonValue, place: str, kind: str) -> None:
    match source:
        case {"type": "url", "url": str(url)} if url.startswith(("https://", "http://")):
            return
        case {"type": "base64", "media_type": str(mime), "data": str(data)}:
            allowed = _IMAGES if kind == "image" else ("application/pdf",)
            if mime not in allowed:
                raise refused(f"{place}.base64.media_type: Input should be {', '.join(allowed)}")
            try:
                b64decode(data, validate=True)
            except (binascii.Error, ValueError):
                raise refused(f"{place}.base64: invalid base64 data") from None
            return
        case {"type": "text", "media_type": "text/plain", "data": str()} if kind == "document":
            return
        case {"type": "content"} if kind == "document":
            return
        case {"type": "file"}:
            raise refused(f"{place}.file: files are not simulated")
    raise refused(f"{place}: Input should be a source of type base64 or url")
