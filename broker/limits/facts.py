"""The cheap facts of a request from which its tokens are predicted."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from broker.domain.job import Endpoint

_CODE_SHARE = 0.03
_ESCAPED_SHARE = 0.2
_MULTIBYTE_SHARE = 0.3
_OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


class Content(StrEnum):
    """What a body is mostly made of, as far as bytes per token differ."""

    TEXT = "text"
    CODE = "code"
    """Code or JSON inside strings: many quotes and line breaks, hence backslashes."""
    MULTIBYTE = "multibyte"
    """Scripts that take several bytes a character, raw."""
    ESCAPED = "escaped"
    r"""The same written as `\uXXXX`: six bytes for about one token."""
    IMAGE = "image"
    """Inline base64 data, whose bytes say next to nothing about tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFacts:
    """What is known of a request before it is sent."""

    model: str
    batch_id: int
    content: Content
    size_bytes: int
    """Of the whole body: the framing is about constant and is learned as such."""
    messages: int
    """Messages of a conversation, or inputs of an embedding."""
    max_tokens: int | None
    """Output tokens allowed to all answers together; `None`: the request sets no limit."""
    generates: bool
    """Whether the call has output tokens at all."""


def request_facts(
    body: bytes, request: Mapping[str, Any], *, model: str, batch_id: int, endpoint: Endpoint
) -> RequestFacts:
    """Gather the facts of one request; `request` is the parsed `body`. Odd values are no errors, they teach less."""
    generates = endpoint is not Endpoint.EMBEDDINGS
    items = request.get("messages" if generates else "input")
    return RequestFacts(
        model=model,
        batch_id=batch_id,
        content=content_of(body),
        size_bytes=len(body),
        messages=len(items) if isinstance(items, list) else 1,
        max_tokens=_max_tokens(request) if generates else None,
        generates=generates,
    )


def content_of(body: bytes) -> Content:
    """Tell the content class of a JSON body, by a few scans that run at memory speed."""
    if b";base64," in body:
        return Content.IMAGE
    size = len(body)
    if not body.isascii() and size - len(body.decode(errors="replace")) > _MULTIBYTE_SHARE * size:
        return Content.MULTIBYTE
    if body.count(b"\\") > _CODE_SHARE * size:
        return Content.ESCAPED if 6 * body.count(b"\\u") > _ESCAPED_SHARE * size else Content.CODE
    return Content.TEXT


def _max_tokens(request: Mapping[str, Any]) -> int | None:
    for name in _OUTPUT_LIMITS:
        most = request.get(name)
        if type(most) is int and most > 0:
            answers = request.get("n")
            return most * answers if type(answers) is int and answers > 1 else most
    return None
