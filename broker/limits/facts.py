"""The cheap facts of a request from which its tokens are predicted."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from broker.domain.job import Endpoint

_CODE_SHARE = 0.03
_ESCAPED_SHARE = 0.2
_MULTIBYTE_SHARE = 0.3


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spelling:
    """Where a dialect says what predicts tokens; of several names the first that is there counts."""

    items: str
    limits: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    """The object that holds limits and answers, where it is not the request itself."""
    media: tuple[bytes, ...] = (b";base64,",)
    """What only a body with inline data has."""


_GEMINI_MEDIA = (b'"inlineData"', b'"inline_data"')
_CHAT_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_SPELLINGS: Mapping[str, _Spelling] = {
    Endpoint.CHAT_COMPLETIONS.value: _Spelling(items="messages", limits=_CHAT_LIMITS, answers=("n",)),
    Endpoint.RESPONSES.value: _Spelling(items="input", limits=("max_output_tokens",)),
    Endpoint.EMBEDDINGS.value: _Spelling(items="input"),
    Endpoint.MESSAGES.value: _Spelling(items="messages", limits=("max_tokens",), media=(b'"base64"',)),
    Endpoint.GENERATE_CONTENT.value: _Spelling(
        items="contents",
        limits=("maxOutputTokens", "max_output_tokens"),
        answers=("candidateCount", "candidate_count"),
        settings=("generationConfig", "generation_config"),
        media=_GEMINI_MEDIA,
    ),
    Endpoint.EMBED_CONTENT.value: _Spelling(items="content", media=_GEMINI_MEDIA),
    Endpoint.BATCH_EMBED_CONTENTS.value: _Spelling(items="requests", media=_GEMINI_MEDIA),
}


def request_facts(
    body: bytes, request: Mapping[str, Any], *, model: str, batch_id: int, endpoint: Endpoint
) -> RequestFacts:
    """Gather the facts of one request; `request` is the parsed `body`. Odd values are no errors, they teach less."""
    spelling = _SPELLINGS[endpoint.value]
    items = request.get(spelling.items)
    return RequestFacts(
        model=model,
        batch_id=batch_id,
        content=content_of(body, spelling.media),
        size_bytes=len(body),
        messages=len(items) if isinstance(items, list) else 1,
        max_tokens=_max_tokens(request, spelling),
        generates=bool(spelling.limits),
    )


def content_of(body: bytes, media: tuple[bytes, ...] = (b";base64,",)) -> Content:
    """Tell the content class of a JSON body, by a few scans that run at memory speed; `media` marks inline data."""
    for mark in media:
        if mark in body:
            return Content.IMAGE
    size = len(body)
    if not body.isascii() and size - len(body.decode(errors="replace")) > _MULTIBYTE_SHARE * size:
        return Content.MULTIBYTE
    if body.count(b"\\") > _CODE_SHARE * size:
        return Content.ESCAPED if 6 * body.count(b"\\u") > _ESCAPED_SHARE * size else Content.CODE
    return Content.TEXT


def _max_tokens(request: Mapping[str, Any], spelling: _Spelling) -> int | None:
    if spelling.settings:
        request = next((found for name in spelling.settings if isinstance(found := request.get(name), dict)), {})
    for name in spelling.limits:
        most = request.get(name)
        if type(most) is int and most > 0:
            return most * _answers(request, spelling)
    return None


def _answers(request: Mapping[str, Any], spelling: _Spelling) -> int:
    for name in spelling.answers:
        answers = request.get(name)
        if type(answers) is int and answers > 1:
            return answers
    return 1
